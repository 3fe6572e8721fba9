"""Finding what is wrong with the data before the first step.

MMDetection leaves out boxes of categories that it does not know and numbers
labels by the annotation file, not by the config: neither says a word.
"""

import json
import mmap
import os
import re
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from .exceptions import MMKDFileNotFoundError, MMKDValueError

# Images that are looked for; none is decoded.
LOOKED_FOR = 32
# What each entry of a COCO file must have.
COCO_KEYS = dict(
    images=('id', 'file_name', 'height', 'width'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'),
)


def check_data(runner, *splits: str) -> None:
    """Build the data sets of a runner, and refuse what is wrong with them.

    Args:
        runner (Runner): Built from a config.
        splits (str): Of 'train', 'val' and 'test'.

    Raises:
        FileNotFoundError, ValueError: See :func:`check_dataset` and
            :func:`find_cause`.
    """
    for split in splits:
        loader = runner.cfg.get(f'{split}_dataloader')
        if loader is None:
            continue
        try:
            loop = getattr(runner, f'{split}_loop')
        except Exception as error:
            cause = find_cause(split, loader['dataset'])
            if cause is None or _is_explained(error):
                raise
            raise MMKDValueError(cause) from error
        check_dataset(split, loop.dataloader.dataset)


def _is_explained(error: Exception) -> bool:
    """Whether a data set of this package says by itself what is wrong."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals['__name__'].startswith('mmkd_plugin.datasets.')


def check_dataset(split: str, dataset) -> None:
    """Refuse a data set from which nothing, or the wrong thing, is learnt.

    Args:
        split (str): What to call it in the message.
        dataset (Dataset): One of MMEngine's, wrapped or not; of another kind
            nothing is known.

    Raises:
        FileNotFoundError: If images are not there.
        ValueError: If the classes are not those of the annotation file, or
            none of the images has a box to train on.
    """
    parts = [part for part in _parts(dataset) if len(part)]
    for part in parts:
        _check_classes(split, part)
        _check_images(split, part)
    if parts and not any(
        info.get('instances', True) or getattr(part, 'test_mode', False)
        for part in parts
        for info in map(part.get_data_info, range(len(part)))
    ):
        raise MMKDValueError(
            f'None of the {sum(map(len, parts))} images of the {split} data '
            f'({getattr(parts[0], "ann_file", "")}) has a box to train on: '
            'expected boxes of at least 1 x 1 pixel, inside of their image '
            f'and of the classes {_few(parts[0].metainfo.get("classes", ()))}'
            '; correct the annotations.'
        )


def find_cause(split: str, cfg: dict) -> str | None:
    """Say why a data set could not be built from its annotation file.

    Args:
        split (str): What to call it in the message.
        cfg (dict): Config of the data set, wrapped or not.

    Returns:
        str | None: None if the file does not tell.
    """
    for inner in (cfg.get('dataset'), *cfg.get('datasets', ())):
        cause = inner and find_cause(split, inner)
        if cause:
            return cause
    root = cfg.get('data_root') or ''
    if root and not os.path.isdir(root):
        return (
            f'The folder {root!r} of the {split} data was not found: give it '
            'by --cfg-options data_root=/path/to/data/.'
        )
    path = Path(root, cfg.get('ann_file') or '')
    if not cfg.get('ann_file') or path.suffix != '.json':
        return None
    if not path.is_file():
        return (
            f'The annotation file {path} of the {split} data was not found: '
            f'give it as `{split}_dataloader.dataset.ann_file`.'
        )
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        return (
            f'The annotation file {path} of the {split} data is not JSON '
            f'({error}): it is damaged or another file; make or download it '
            'again.'
        )
    missing = _missing_keys(content)
    if missing:
        return (
            f'The annotation file {path} of the {split} data is not in COCO '
            f'format: {missing}; convert it to that format.'
        )
    if not content['images']:
        return (
            f'The annotation file {path} of the {split} data lists no image: '
            'expected at least one; give a file with images.'
        )
    names = [category['name'] for category in content['categories']]
    classes = cfg.get('metainfo', {}).get('classes') or ()
    if classes and not set(classes) & set(names):
        return _no_category(classes, path, split, classes, names)
    kept = cfg.get('filter_cfg') or {}
    if kept.get('filter_empty_gt') and not _with_boxes(content, classes):
        return (
            f'None of the {len(content["images"])} images in {path} of the '
            f'{split} data has a box of the classes {_few(classes)}, and '
            '`filter_cfg` leaves such images out: correct the annotations.'
        )
    return None


def _with_boxes(content: dict, classes: Sequence) -> set:
    """Ids of the images that have a box of one of the classes."""
    known = {
        category['id']
        for category in content['categories']
        if not classes or category['name'] in classes
    }
    return {
        box['image_id']
        for box in content['annotations']
        if box['category_id'] in known
    }


def _missing_keys(content: object) -> str | None:
    """What a COCO file does not have, in words."""
    if not isinstance(content, dict):
        return f'expected a dict but got a {type(content).__name__}'
    for part, keys in COCO_KEYS.items():
        if not isinstance(content.get(part), list):
            found = type(content[part]).__name__ if part in content else 'none'
            return f'expected a list `{part}` but got {found}'
        for entry in content[part]:
            missing = [key for key in keys if key not in entry]
            if missing:
                return f'expected `{missing[0]}` in `{part}` but got {entry}'
    return None


def _parts(dataset) -> Iterator:
    """The data sets inside of wrappers that have ``get_data_info``."""
    inner = getattr(dataset, 'datasets', None) or [
        getattr(dataset, 'dataset', None)
    ]
    if inner != [None]:
        for part in inner:
            yield from _parts(part)
    elif hasattr(dataset, 'get_data_info'):
        yield dataset


def _check_classes(split: str, dataset) -> None:
    """Compare the classes with the categories of a COCO file."""
    load = getattr(type(dataset), 'load_data_list', None)
    if getattr(load, '__qualname__', '') != 'CocoDataset.load_data_list':
        return
    categories = _read_categories(dataset.ann_file)
    if categories is None:
        return
    classes = dataset.metainfo['classes']
    unknown = [name for name in classes if name not in categories.values()]
    if unknown:
        raise MMKDValueError(
            _no_category(
                unknown, dataset.ann_file, split, classes, categories.values()
            )
        )
    found = [categories[number] for number in dataset.cat_ids]
    if found != list(classes):
        raise MMKDValueError(
            f'The annotation file {dataset.ann_file} of the {split} data has '
            f'its categories in the order {_few(found)}, by which '
            f'MMDetection numbers them, but `metainfo` has the classes '
            f'{_few(classes)}: give `metainfo` in the order of the file.'
        )


def _no_category(
    unknown: Sequence, path, split: str, classes: Sequence, names
) -> str:
    return (
        f'{len(unknown)} of the {len(classes)} classes of `metainfo` '
        f'({_few(unknown)}) are no category of the annotation file {path} '
        f'of the {split} data, which has {_few(names)}: give `metainfo` the '
        'names that the file has.'
    )


def _read_categories(path: str) -> dict | None:
    """Id to name of the categories in a COCO file, without parsing it all."""
    try:
        with (
            open(path, 'rb') as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            for match in re.finditer(rb'"categories"\s*:\s*(?=\[)', content):
                end = content.find(b']', match.end())
                # A category of key points holds lists of its own.
                while end >= 0:
                    try:
                        found = json.loads(content[match.end() : end + 1])
                    except ValueError:
                        end = content.find(b']', end + 1)
                        continue
                    return {entry['id']: entry['name'] for entry in found}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # on another storage, or unlike COCO's
    return None


def _check_images(split: str, dataset) -> None:
    """Look for some of the images, evenly over the data set."""
    if getattr(dataset, 'backend_args', None):
        return
    step = max(len(dataset) // LOOKED_FOR, 1)
    paths = [
        str(dataset.get_data_info(index).get('img_path', ''))
        for index in range(0, len(dataset), step)
    ]
    missing = [
        path
        for path in paths
        if path and '://' not in path and not _has_content(path)
    ]
    if missing:
        raise MMKDFileNotFoundError(
            f'{len(missing)} of the {len(paths)} images of the {split} data '
            f'that were looked for are missing or empty, {missing[0]} the '
            'first: give their folder by `data_root` and `data_prefix`.'
        )


def _has_content(path: str) -> bool:
    return os.path.isfile(path) and os.path.getsize(path) > 0


def _few(names) -> str:
    """The first few names, for a message."""
    names = [str(name) for name in names]
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
