"""Checks of image folders, one per class, as MMPretrain reads them."""

import os
from collections import Counter

from ...arguments import few
from ...exceptions import MMKDFileNotFoundError, MMKDValueError
from .classes import read_classes
from .image_list import read_lines
from .messages import short, warn


def check_folders(split: str, part) -> None:
    """Compare the folders, or the list of images, with the classes.

    Args:
        split: What to call the data in a message.
        part (Dataset): Built, or described by its config.

    Raises:
        FileNotFoundError, ValueError: If nothing, or something wrong, would
            be learnt from them.
    """
    classes = read_classes(split, part.metainfo)
    folder = part.data_prefix.get('img_path') or '.'
    if not os.path.isdir(folder):
        raise MMKDFileNotFoundError(
            f'The folder {folder} of the {split} data was not found: give it '
            'by `data_root` and `data_prefix`.'
        )
    if part.ann_file:
        _check_list(split, part, classes)
        return
    files = [
        os.path.join(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if not name.startswith('.')
    ]
    endings = tuple(part.extensions)
    read = [path for path in files if path.lower().endswith(endings)]
    unread = [path for path in files if not path.lower().endswith(endings)]
    odd = Counter(os.path.splitext(path)[1] or 'none' for path in unread)
    told = (
        f'{len(unread)} of the {len(files)} files in {folder} of the {split} '
        f'data have another ending than `extensions` ({few(odd)})'
    )
    if part.with_label:
        _check_names(split, folder, classes, read)
    if not read:
        raise MMKDValueError(
            f'{told}: no image is left; expected '
            f'{", ".join(sorted(part.extensions))}, in one folder per class.'
        )
    if unread:
        warn(f'{told}: they are left out.')


def _check_names(split: str, folder: str, classes, read: list) -> None:
    """Compare the names of the folders with those of the classes."""
    names = sorted(
        name
        for name in os.listdir(folder)
        if os.path.isdir(os.path.join(folder, name))
    )
    hidden = [name for name in names if name.startswith('.')]
    if hidden:
        raise MMKDValueError(
            f'The folder {hidden[0]!r} in {folder} of the {split} data would '
            'be taken for a class: delete it.'
        )
    if not names:
        raise MMKDValueError(
            f'{folder} of the {split} data has no folder: expected one per '
            'class; set `data_prefix`, or `with_label=False` if there are no '
            'classes.'
        )
    if classes is not None and len(classes) != len(names):
        lacking = [name for name in names if name not in classes]
        raise MMKDValueError(
            f'{folder} of the {split} data has {len(names)} folders '
            f'({few(names)}) but `classes` has {len(classes)} names '
            f'({few(classes)}): expected a folder for each class'
            f'{f"; {lacking[0]!r} is none" if lacking else ""}.'
        )
    if (
        classes is not None
        and set(classes) == set(names)
        and (list(classes) != names)
    ):
        raise MMKDValueError(
            f'The folders in {folder} of the {split} data are numbered in the '
            f'order {few(names)}, but `classes` names them in the order '
            f'{few(classes)}: give `classes` sorted by name.'
        )
    full = {os.path.relpath(path, folder).split(os.sep)[0] for path in read}
    loose = [path for path in read if os.path.dirname(path) == folder]
    empty = [name for name in names if name not in full]
    if empty and len(empty) < len(names):
        warn(
            f'{len(empty)} of the {len(names)} folders in {folder} of the '
            f'{split} data have no image ({few(empty)}): these classes are '
            'not seen.'
        )
    if loose:
        warn(
            f'{len(loose)} images in {folder} of the {split} data lie in no '
            f'folder of a class (first: {loose[0]}): they are left out.'
        )


def _check_list(split: str, part, classes) -> None:
    """Check the lines of a list of images and labels."""
    lines = read_lines(split, part.ann_file)
    for number, line in enumerate(lines, 1):
        path, *label = line.strip().rsplit(' ', 1)
        if part.with_label:
            wrong = not path or len(label) != 1 or not _is_label(label[0])
            expected = 'NAME LABEL, with a number from 0 on as label'
        else:
            wrong, expected = not line.strip(), 'the name of an image'
        if wrong or line.startswith('\ufeff'):
            raise MMKDValueError(
                f'Line {number} of {part.ann_file} of the {split} data is '
                f'{short(line)}: expected {expected}; correct it.'
            )
        if part.with_label and classes and int(label[0]) >= len(classes):
            raise MMKDValueError(
                f'Line {number} of {part.ann_file} of the {split} data has '
                f'the label {label[0]}, but there are {len(classes)} classes '
                f'({few(classes)}), numbered from 0: correct it.'
            )


def _is_label(text: str) -> bool:
    return text.isascii() and text.isdecimal()
