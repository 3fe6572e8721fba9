"""The content of a COCO file as arrays, with every field checked.

Legend: M images, K categories, N annotations.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...exceptions import MMKDValueError
from .coco_json import read_lists
from .coco_masks import mask_faults
from .messages import short

# Keys that identify an entry in a message.
NAMES = ('id', 'file_name', 'name', 'image_id')


def _is_number(value: object) -> bool:
    # Not isfinite, which fails on a huge integer; NaN is not below anything.
    return type(value) in (int, float) and abs(value) < 1e15  # type: ignore


def _is_id(value: object) -> bool:
    return type(value) is str or _is_number(value)


def _is_size(value: object) -> bool:
    return _is_number(value) and value > 0  # type: ignore


def _is_name(value: object) -> bool:
    return type(value) is str and value != '' and '\0' not in value


def _is_box(value: object) -> bool:
    return (
        type(value) is list and len(value) == 4 and all(map(_is_number, value))
    )


def _is_flag(value: object) -> bool:
    return value is None or type(value) is bool or _is_number(value)


def _is_reference(value: object) -> bool:
    return value is None or _is_id(value)


_NO = object()
# List, field, test, what is expected, and the default if it is missing.
FIELDS: tuple[tuple[str, str, Callable, str, object], ...] = (
    ('images', 'id', _is_id, 'a number', _NO),
    ('images', 'file_name', _is_name, 'the name of a file', _NO),
    ('images', 'width', _is_size, 'its pixels, a number above 0', _NO),
    ('images', 'height', _is_size, 'its pixels, a number above 0', _NO),
    ('categories', 'id', _is_id, 'a number', _NO),
    ('categories', 'name', _is_id, 'a name', _NO),
    ('annotations', 'id', _is_id, 'a number', _NO),
    ('annotations', 'image_id', _is_reference, 'the `id` of an image', _NO),
    (
        'annotations',
        'category_id',
        _is_reference,
        'the `id` of a category',
        _NO,
    ),
    (
        'annotations',
        'bbox',
        _is_box,
        '[x, y, width, height] in pixels, four numbers',
        _NO,
    ),
    (
        'annotations',
        'area',
        _is_number,
        'the pixels of the object, width x height of a box',
        _NO,
    ),
    ('annotations', 'iscrowd', _is_flag, '0 or 1', None),
    ('annotations', 'ignore', _is_flag, '0 or 1', None),
)


@dataclass
class CocoFile:
    """The content of a COCO file.

    Attributes:
        where: What to call it in a message.
        names, sizes: File name of each image, and its width and height,
            (M, 2).
        image_ids, category_ids, classes, ids: As in the file; (M,), (K,),
            (K,) and (N,).
        image, category: Index of each annotation's image and category, (N,);
            -1 if there is none.
        references: `image_id` and `category_id` of each annotation.
        boxes: [x, y, width, height], (N, 4).
        area, crowd, ignore: (N,).
        no_crowd: Whether an annotation has no `iscrowd`, (N,).
        masks: Fault of each annotation's `segmentation`, (N,).
    """

    where: str
    names: list
    sizes: np.ndarray
    image_ids: list
    category_ids: list
    classes: list
    ids: list
    references: dict
    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    ignore: np.ndarray
    no_crowd: np.ndarray
    masks: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def count(self, which: np.ndarray) -> str:
        """Number of annotations in a mask, and the first one, for messages."""
        index = int(np.flatnonzero(which)[0])
        return (
            f'{int(which.sum())} of the {len(self)} annotations in '
            f'{self.where} (first: id {self.ids[index]!r}, image_id '
            f'{self.references["image_id"][index]!r})'
        )


_KNOWN: dict = {}


def read_coco(path: str, where: str, needed: bool = True) -> CocoFile:
    """Read a file and check each field; parsed once per process.

    Args:
        path: Path of a local file.
        where: What to call it in a message.
        needed: Whether it must have annotations.

    Raises:
        FileNotFoundError, ValueError: If the libraries cannot read it.
    """
    key = None
    if os.path.isfile(path):
        state = os.stat(path)
        key = (os.path.realpath(path), state.st_mtime_ns, state.st_size)
    if key is None or key not in _KNOWN or (needed and not len(_KNOWN[key])):
        file = to_file(read_lists(path, where, needed), where)
        if len(_KNOWN) == 8:
            _KNOWN.pop(next(iter(_KNOWN)))
        _KNOWN[key] = file
    known = _KNOWN[key]
    return CocoFile(**{**vars(known), 'where': where})


def to_file(
    lists: dict, where: str, read: Callable = lambda part, key: True
) -> CocoFile:
    """Check the fields of the three lists, and convert them to arrays.

    Args:
        lists: Result of :func:`read_lists`.
        where: What to call the file in a message.
        read: Whether a field of a list is read.

    Raises:
        ValueError: If a field is missing or of a wrong type, or an `id`
            occurs twice.
    """
    columns = {}
    for part, key, test, expected, default in FIELDS:
        values = [entry.get(key, default) for entry in lists[part]]
        columns[part, key] = values
        if read(part, key):
            wrong = [i for i, value in enumerate(values) if not test(value)]
            if wrong:
                _refuse_field(lists[part], wrong, part, key, expected, where)
    for part in ('images', 'categories', 'annotations'):
        _check_ids(columns[part, 'id'], part, where)
    image = _positions(lists, columns, 'image_id', 'images')
    crowd = columns['annotations', 'iscrowd']
    return CocoFile(
        where=where,
        names=columns['images', 'file_name'],
        sizes=np.array(
            [
                size if _is_size(size[0]) and _is_size(size[1]) else (0, 0)
                for size in zip(
                    columns['images', 'width'], columns['images', 'height']
                )
            ],
            dtype=float,
        ).reshape(-1, 2),
        image_ids=columns['images', 'id'],
        category_ids=columns['categories', 'id'],
        classes=columns['categories', 'name'],
        ids=columns['annotations', 'id'],
        references={
            key: columns['annotations', key]
            for key in ('image_id', 'category_id')
        },
        image=image,
        category=_positions(lists, columns, 'category_id', 'categories'),
        boxes=np.array(columns['annotations', 'bbox'], float).reshape(-1, 4),
        area=np.array(columns['annotations', 'area'], dtype=float),
        crowd=np.array([bool(value) for value in crowd], dtype=bool),
        ignore=np.array(
            [bool(value) for value in columns['annotations', 'ignore']],
            dtype=bool,
        ),
        no_crowd=np.array([value is None for value in crowd], dtype=bool),
        masks=mask_faults(lists['annotations'], lists['images'], image),
    )


def _positions(lists: dict, columns: dict, key: str, part: str) -> np.ndarray:
    """Index of the entry that each annotation refers to, (N,); -1: none."""
    index = {value: i for i, value in enumerate(columns[part, 'id'])}
    return np.array(
        [index.get(value, -1) for value in columns['annotations', key]],
        dtype=int,
    )


def _refuse_field(
    entries: list, wrong: list, part: str, key: str, expected: str, where: str
) -> None:
    first = entries[wrong[0]]
    shown = {name: first[name] for name in (*NAMES, key) if name in first}
    what = f'a `{key}` that is {short(first[key])}' if key in first else ''
    raise MMKDValueError(
        f'{len(wrong)} of the {len(entries)} entries of `{part}` in {where} '
        f'have {what or f"no `{key}`"}, {short(shown)} the first: expected '
        f'{expected}; correct them.'
    )


def _check_ids(ids: list, part: str, where: str) -> None:
    """Refuse an `id` of two entries, and a mix of numbers and strings."""
    kinds = {type(value) is str for value in ids}
    if len(kinds) == 2:
        raise MMKDValueError(
            f'Some `id` of `{part}` in {where} are text and some are '
            'numbers: expected numbers; number them anew.'
        )
    if len(set(ids)) < len(ids):
        twice = [value for value, n in Counter(ids).items() if n > 1]
        raise MMKDValueError(
            f'{len(twice)} `id` of `{part}` in {where} belong to several '
            f'entries, {twice[0]!r} the first, and the libraries would take '
            'one of them: number them anew.'
        )
