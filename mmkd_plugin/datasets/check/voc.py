"""Checks of a data set of XML files in the format of Pascal VOC."""

import os
import xml.etree.ElementTree as ElementTree
from collections import defaultdict

from ...arguments import few
from ...exceptions import MMKDValueError
from .classes import nearly, read_classes, refuse_twice
from .image_list import read_lines
from .messages import warn

EDGES = ('xmin', 'ymin', 'xmax', 'ymax')
# Pixels by which a box may exceed its image.
SLACK = 1


class _Fault(Exception):
    """A fault in an XML file."""


def check_voc(split: str, part) -> None:
    """Read all XML files of a data set, and check them.

    Args:
        split: What to call the data in a message.
        part (Dataset): Built, or described by its config.

    Raises:
        FileNotFoundError, ValueError: If one cannot be read, or something
            wrong would be learnt.
    """
    classes = read_classes(split, part.metainfo) or ()
    refuse_twice(split, classes)
    where = f'in {part.ann_file} of the {split} data'
    faults, objects = defaultdict(list), []
    limits = {}
    names = _read_list(split, part)
    for name in names:
        path = os.path.join(
            part.data_prefix.get('sub_data_root', ''),
            part.ann_subdir,
            f'{name}.xml',
        )
        try:
            limits[path], found = _read(path)
            objects += [(path, *each, limits[path]) for each in found]
        except _Fault as fault:
            faults[str(fault)].append(path)
    for words, paths in faults.items():
        raise MMKDValueError(
            f'{len(paths)} of the {len(names)} XML files of the images '
            f'{where} {words}, {paths[0]} the first: correct it, or take its '
            'name out of the list.'
        )
    known = [found for found in objects if found[1] in classes]
    unknown = [found for found in objects if found[1] not in classes]
    kinds = list(dict.fromkeys(found[1] for found in unknown))
    if unknown:
        told = (
            f'{len(unknown)} of the {len(objects)} objects {where} (first: '
            f'{unknown[0][0]}) have a name that `metainfo` does not have '
            f'({few(map(repr, kinds))})'
        )
        seen = [kind for kind in kinds if isinstance(kind, str)]
        hint = next(filter(None, (nearly(c, seen) for c in classes)), '')
        if hint or not known:
            raise MMKDValueError(
                f'{told}: they would be left out; write the names in '
                f'`metainfo` as the XML files do{hint}.'
            )
        warn(f'{told}: they are left out.')
    if part.test_mode:
        _check_boxes(known, where)
        return
    least = (part.filter_cfg or {}).get('bbox_min_size') or 0
    used = [
        found
        for found in known
        if not found[2] and not (least and min(_size(found[3])) < least)
    ]
    if not used:
        raise MMKDValueError(
            f'None of the {len(names)} images {where} has a box to train on: '
            f'of {len(objects)} objects {len(known)} are of the classes '
            f'{few(classes)}, and those are `difficult` or less than {least} '
            'pixels wide or high; correct the annotations.'
        )
    if len(used) < len(known):
        warn(
            f'{len(known) - len(used)} of the {len(objects)} objects {where} '
            f'are `difficult` or less than {least} pixels wide or high '
            '(`bbox_min_size`): nothing is learnt from them.'
        )
    _check_boxes(used, where)
    _check_filter(part.filter_cfg or {}, limits, known, where)


def _check_filter(
    filter_cfg: dict, limits: dict, known: list, where: str
) -> None:
    """Warn of images that `filter_cfg` leaves out; refuse if none is left."""
    least = filter_cfg.get('min_size', 0)
    small = [p for p, size in limits.items() if size and min(size) < least]
    full = {found[0] for found in known}
    empty = [p for p in limits if p not in full and p not in small]
    if not filter_cfg.get('filter_empty_gt'):
        empty = []
    for paths, words in (
        (small, f'are less than {least} pixels wide or high (`min_size`)'),
        (empty, 'have no object of the classes (`filter_empty_gt`)'),
    ):
        if paths:
            told = (
                f'{len(paths)} of the {len(limits)} images {where} (first: '
                f'{paths[0]}) {words}, and `filter_cfg` leaves them out'
            )
            if len(small) + len(empty) == len(limits):
                raise MMKDValueError(f'{told}: none is left; correct it.')
            warn(f'{told}.')


def _read_list(split: str, part) -> list:
    """The names in the image list."""
    names = read_lines(split, part.ann_file)
    for number, name in enumerate(names, 1):
        if not name or name != name.strip() or name.startswith('\ufeff'):
            raise MMKDValueError(
                f'Line {number} of {part.ann_file} of the {split} data is '
                f'{name!r}: expected the name of an image without its ending '
                'and without spaces; correct it.'
            )
    twice = len(names) - len(set(names))
    if twice:
        warn(
            f'{twice} of the {len(names)} lines of {part.ann_file} of the '
            f'{split} data name an image again: it is taken several times.'
        )
    return names


def _read(path: str) -> tuple:
    """Size of the image; name, `difficult` and edges of each object."""
    if not os.path.isfile(path):
        raise _Fault('are not there')
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, ValueError) as error:
        text = str(error).split(':')[0]
        raise _Fault(f'are damaged ({text})') from error
    size = root.find('size')
    limits = None
    if size is not None:
        limits = [_number(size, key, int) for key in ('width', 'height')]
    found = []
    for entry in root.findall('object'):
        name, box = entry.find('name'), entry.find('bndbox')
        if name is None:
            raise _Fault('have an object without `name`')
        if box is None:
            raise _Fault('have an object without `bndbox`')
        difficult = 0
        if entry.find('difficult') is not None:
            difficult = _number(entry, 'difficult', int)
        edges = [_number(box, key, float) for key in EDGES]
        found.append((name.text, difficult, edges))
    return limits, found


def _number(entry, key: str, kind: type):
    """The number in a field, as the library reads it."""
    field = entry.find(key)
    if field is None:
        raise _Fault(f'have no `{key}` in `{entry.tag}`')
    try:
        value = kind(field.text)
        int(value)  # neither NaN nor infinite
    except (TypeError, ValueError, OverflowError) as error:
        raise _Fault(
            f'have {field.text!r} instead of a number as `{key}`'
        ) from error
    return value


def _size(edges: list) -> tuple:
    """Width and height as the library computes them."""
    left, top, right, bottom = map(int, edges)
    return right - left, bottom - top


def _check_boxes(objects: list, where: str) -> None:
    """Refuse boxes without a size; warn of those that exceed their image."""
    thin = [found for found in objects if min(_size(found[3])) < 1]
    if thin:
        raise MMKDValueError(
            f'{len(thin)} of the {len(objects)} boxes {where} have no width '
            f'or no height, {thin[0][0]} the first, and MMDetection would '
            'train on them: expected xmin < xmax and ymin < ymax; correct '
            'them.'
        )
    out = [
        found
        for found in objects
        if found[4]
        and min(found[4]) > 0
        and (
            min(found[3]) < 1 - SLACK
            or found[3][2] > found[4][0] + SLACK
            or found[3][3] > found[4][1] + SLACK
        )
    ]
    if not out:
        return
    told = (
        f'{len(out)} of the {len(objects)} boxes {where} (first: '
        f'{out[0][0]}) reach out of their image'
    )
    if len(out) > len(objects) / 2:
        raise MMKDValueError(
            f'{told}: expected pixels, and the `size` of the image as it is '
            'stored; correct them.'
        )
    warn(f'{told}: check them.')
