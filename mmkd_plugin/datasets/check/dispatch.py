"""Choosing the check of a data set by the class that reads it."""

import json
import os

from ...exceptions import MMKDFileNotFoundError, MMKDValueError
from .classes import read_classes
from .coco import check_coco
from .folders import check_folders
from .introspection import (
    is_remote,
    reads_coco,
    reads_folders,
    reads_own,
    reads_xml,
)
from .voc import check_voc


def check_part(split: str, part, kind: type):
    """Check the annotations of a data set, depending on their format.

    Args:
        split: What to call the data in a message.
        part (Dataset): Built, or described by its config.
        kind: Its class.

    Returns:
        CocoFile | None: The COCO file, if it reads one.

    Raises:
        FileNotFoundError, ValueError: If something is wrong with them.
    """
    if is_remote(part) or '://' in str(getattr(part, 'ann_file', '')):
        return None
    if reads_coco(kind):
        return check_coco(split, part)
    if reads_xml(kind):
        check_voc(split, part)
    elif reads_folders(kind):
        check_folders(split, part)
    else:
        if isinstance(getattr(part, 'metainfo', None), dict):
            read_classes(split, part.metainfo)
        if reads_own(kind):
            _check_own(split, part.ann_file)
    return None


def _check_own(split: str, path: str) -> None:
    """Check a file in MMEngine's own format, if it is JSON."""
    if not path.endswith('.json'):
        return
    if not os.path.isfile(path):
        raise MMKDFileNotFoundError(
            f'The annotation file {path} of the {split} data was not found: '
            'correct `ann_file`.'
        )
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except ValueError as error:
        raise MMKDValueError(
            f'The annotation file {path} of the {split} data is not JSON '
            f'({error}): it is damaged or another file; make or download it '
            'again.'
        ) from error
    for key in ('metainfo', 'data_list'):
        if not isinstance(content, dict) or key not in content:
            raise MMKDValueError(
                f'The annotation file {path} of the {split} data is not in '
                f"OpenMMLab's own format: expected `{key}`; take "
                "type='CocoDataset' for a COCO file."
            )
