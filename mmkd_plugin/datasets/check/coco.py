"""Checks of a data set that reads a COCO file as CocoDataset does."""

import os

from ...exceptions import MMKDValueError
from .classes import check_categories, read_classes, refuse_twice
from .coco_boxes import check_convention, check_training, filtered, left_out
from .coco_file import CocoFile, read_coco
from .coco_masks import check_masks
from .introspection import setting, transforms


def check_coco(split: str, part) -> CocoFile:
    """Check the annotation file of a data set.

    Args:
        split: What to call the data in a message.
        part (Dataset): Built, or described by its config.

    Returns:
        The content of the file.

    Raises:
        FileNotFoundError, ValueError: If it cannot be read, or something
            wrong would be learnt from it.
    """
    if not isinstance(part.data_prefix, dict) or 'img' not in part.data_prefix:
        raise MMKDValueError(
            f'`data_prefix` of the {split} data is {part.data_prefix!r}: '
            "expected dict(img='FOLDER/')."
        )
    classes = read_classes(split, part.metainfo) or ()
    refuse_twice(split, classes)
    where = f'{part.ann_file} of the {split} data'
    file = read_coco(part.ann_file, where, needed=not part.test_mode)
    check_categories(where, classes, file.category_ids, file.classes)
    if part.test_mode:
        check_convention(file)
        return file
    check_training(file, classes, part.filter_cfg)
    if any(setting(step, 'with_mask') for step in transforms(part)):
        used = file.image >= 0
        for which in left_out(file, classes).values():
            used &= ~which | (which & file.crowd)
        check_masks(file, used, evaluated=False)
    return file


def list_images(file: CocoFile, part) -> tuple[list, list]:
    """Path, and (width, height), of each image that a data set keeps."""
    infos = _infos(part)
    if infos is None:
        small, empty = filtered(
            file, part.metainfo['classes'], part.filter_cfg
        )
        left = (small | empty) & (not part.test_mode)
        infos = [
            (os.path.join(part.data_prefix['img'], name), size)
            for name, size, out in zip(file.names, file.sizes.tolist(), left)
            if not out
        ]
    paths, sizes = zip(*infos)
    return list(paths), list(sizes)


def _infos(part) -> list | None:
    """The same from the data set, if it uses only a part of its file."""
    if getattr(part, '_indices', None) is None:
        return None
    infos = [part.get_data_info(i) for i in range(len(part))]
    return [(i['img_path'], (i['width'], i['height'])) for i in infos]
