"""Reading the three lists of a COCO file."""

import codecs
import json
from pathlib import Path
from typing import Any

from ...arguments import few
from ...exceptions import MMKDFileNotFoundError, MMKDValueError

# First bytes of files that `json.load` cannot read -> what it is, advice.
STARTS = (
    (codecs.BOM_UTF8, 'begins with a byte order mark', 'save it without'),
    (codecs.BOM_UTF32_LE, 'is written in UTF-32', 'save it as UTF-8'),
    (codecs.BOM_UTF16_LE, 'is written in UTF-16', 'save it as UTF-8'),
    (codecs.BOM_UTF16_BE, 'is written in UTF-16', 'save it as UTF-8'),
    (b'\x1f\x8b', 'is compressed by gzip', 'unpack it'),
    (b'PK\x03\x04', 'is a zip archive', 'unpack it'),
)
# Keys of other formats -> what it is, advice.
OTHERS = (
    (
        'data_list',
        "a file of OpenMMLab's own format",
        "take type='BaseDetDataset'",
    ),
    ('_via_img_metadata', 'a project of VIA', 'export it from VIA as COCO'),
    ('shapes', 'a file of labelme', 'convert it by labelme2coco'),
    ('regions', 'an export of VIA', 'export it from VIA as COCO'),
    ('score', 'a file of results', 'give the file with the annotations'),
    ('data', 'an export of Label Studio', 'export it as COCO'),
    ('image', 'a file of CreateML', 'export it as COCO'),
)


def read_lists(path: str, where: str, needed: bool) -> dict:
    """Read the lists `images`, `annotations` and `categories`.

    Args:
        path: Path of a local file.
        where: What to call it in a message.
        needed: Whether it must have annotations.

    Returns:
        Entries of each list by name, all of them dicts.

    Raises:
        FileNotFoundError, ValueError: If it cannot be read.
    """
    content: Any = _read_json(path, where)
    if not isinstance(content, dict) or not isinstance(
        content.get('images'), list
    ):
        _refuse_format(content, where)
    lists = {}
    for part in ('images', 'categories', 'annotations'):
        entries = content.get(part)
        if part == 'annotations' and part not in content and not needed:
            entries = []  # a list of test images
        if not isinstance(entries, list):
            found = type(entries).__name__ if part in content else 'none'
            raise MMKDValueError(
                f'The annotation file {where} is not in COCO format: '
                f'expected a list `{part}` but got {found}; convert it to '
                'that format.'
            )
        wrong = [entry for entry in entries if not isinstance(entry, dict)]
        if wrong:
            raise MMKDValueError(
                f'The annotation file {where} is not in COCO format: '
                f'expected dicts in `{part}` but got {wrong[0]!r:.60}; '
                'convert it to that format.'
            )
        lists[part] = entries
    if not lists['images']:
        raise MMKDValueError(
            f'The annotation file {where} lists no image: expected at least '
            'one; give a file with images.'
        )
    return lists


def _read_json(path: str, where: str) -> object:
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise MMKDFileNotFoundError(
            f'The annotation file {where} was not found: correct `ann_file`.'
        ) from error
    if not raw.strip():
        raise MMKDValueError(
            f'The annotation file {where} is empty: make or download it again.'
        )
    for start, what, advice in STARTS:
        if raw.startswith(start):
            raise MMKDValueError(
                f'The annotation file {where} {what}, which the libraries '
                f'cannot read: {advice}.'
            )
    try:
        return json.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise MMKDValueError(
            f'The annotation file {where} is not written in UTF-8 (byte '
            f'{error.start}), but perhaps in Latin-1: save it as UTF-8.'
        ) from error
    except (ValueError, RecursionError) as error:
        raise MMKDValueError(
            f'The annotation file {where} is not JSON ({error}): it is '
            'damaged or another file; make or download it again.'
        ) from error


def _refuse_format(content: object, where: str) -> None:
    """Refuse a file without a list of images, and say what it is."""
    found = f'a {type(content).__name__}'
    if isinstance(content, dict):
        found = f'a dict of {few(content)}' if content else 'an empty dict'
        if 'images' in content:
            found = type(content['images']).__name__
    first = content
    if isinstance(content, list) and content:
        first = content[0]
    elif isinstance(content, dict) and 'data_list' not in content:
        # VIA has a dict of images by name.
        inner = [v for v in content.values() if isinstance(v, dict)]
        first = {**(inner[0] if inner else {}), **content}
    for key, what, advice in OTHERS:
        if isinstance(first, dict) and key in first:
            raise MMKDValueError(
                f'The annotation file {where} is not in COCO format: it looks '
                f'like {what}; {advice}.'
            )
    raise MMKDValueError(
        f'The annotation file {where} is not in COCO format: expected a list '
        f'`images` but got {found}; convert it to that format.'
    )
