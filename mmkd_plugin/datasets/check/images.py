"""Checks that the image files exist, and have the annotated size."""

import os
from collections import defaultdict
from urllib.parse import unquote

from PIL import Image

from ...exceptions import MMKDFileNotFoundError, MMKDValueError
from .introspection import is_remote, transforms

# Number of images whose header is read, evenly spread over the data.
SAMPLED = 256
_ORIENTATION = 0x0112  # of EXIF; from 5 on the image is turned by 90 degrees


def check_images(split: str, dataset, paths: list, sizes: list) -> None:
    """Look for all images, and compare the size of some with annotations.

    Args:
        split: What to call the data in a message.
        dataset (Dataset): The data set, for its pipeline.
        paths: Paths of all images.
        sizes: Annotated (width, height) of each; None if unknown.

    Raises:
        FileNotFoundError: If images are missing or empty.
        ValueError: If one cannot be decoded, or has another size.
    """
    loaders = [
        step
        for step in transforms(dataset)
        if type(step).__name__.startswith('LoadImage')
    ]
    if any(map(is_remote, (dataset, *loaders))):
        return  # not local, so not checked
    local = [i for i, path in enumerate(paths) if _is_local(path)]
    step = max(len(local) // SAMPLED, 1)
    sample = local[::step]
    missing = _missing([paths[i] for i in local])
    missing += [
        paths[i]
        for i in sample
        if os.path.isfile(paths[i]) and not os.path.getsize(paths[i])
    ]
    if missing:
        raise MMKDFileNotFoundError(
            f'{len(missing)} of the {len(local)} images of the {split} data '
            f'are missing or empty, {missing[0]} the first: '
            f'{_hint(missing[0])}.'
        )
    if not loaders:
        return
    wrong = []
    for i in sample:
        found = _loaded_size(loaders[0], paths[i], sizes[i])
        if sizes[i] is not None and found != tuple(sizes[i]):
            wrong.append((paths[i], found, tuple(map(int, sizes[i]))))
    if wrong:
        path, (width, height), said = wrong[0]
        turned = (
            ' (it is turned by its EXIF data as it is loaded)'
            if said == (height, width) and _is_turned(path)
            else ''
        )
        raise MMKDValueError(
            f'{len(wrong)} of the {len(sample)} images of the {split} data '
            f'that were looked at are not of the size that the annotations '
            f'say, {path} the first: it is {width} x {height}{turned}, they '
            f'say {said[0]} x {said[1]}. Their boxes would lie elsewhere: '
            'annotate the images as they are, or give those that were '
            'annotated.'
        )


def _is_local(path: str) -> bool:
    return bool(path) and '://' not in path[:8]


def _missing(paths: list) -> list:
    """Paths without a file; each folder is listed once, which is fast."""
    folders = defaultdict(list)
    for path in paths:
        folders[os.path.dirname(path)].append(path)
    missing = set()
    for folder, inside in folders.items():
        try:
            names = set(os.listdir(folder or '.'))
        except OSError:
            names = set()
        # Case may differ on a case-insensitive file system.
        missing |= {
            path
            for path in inside
            if os.path.basename(path) not in names and not os.path.isfile(path)
        }
    return [path for path in paths if path in missing]


def _hint(path: str) -> str:
    """Advice on a missing file."""
    folder, name = os.path.split(path)
    if os.path.isfile(path):
        return 'it is empty; replace it, or take it out of the annotations'
    if '://' in path:
        return (
            'the annotations name an address; download the images, and give '
            'their names in `file_name`'
        )
    for other, why in (
        (path.replace('\\', '/'), 'write / instead of \\ in `file_name`'),
        (unquote(path), 'do not write `file_name` as in an address (%20)'),
        (
            os.path.join(folder, name.replace('\\', '/').split('/')[-1]),
            'take the folder out of `file_name`',
        ),
        (
            os.path.join(os.path.dirname(folder), name),
            'correct `data_prefix` or the folder in `file_name`',
        ),
    ):
        if other != path and os.path.isfile(other):
            return f'there is {other}; {why}'
    try:
        names = os.listdir(folder or '.')
    except OSError:
        names = []
    for other in names:
        stem = os.path.splitext(name)[0].lower()
        if other.lower() == name.lower() or (
            os.path.splitext(other)[0].lower() == stem
        ):
            return (
                f'there is {os.path.join(folder, other)}; case and ending '
                'count, so correct the name'
            )
    return 'give their folder by `data_root` and `data_prefix`'


def _is_turned(path: str) -> bool:
    with Image.open(path) as image:
        exif = Image.Exif()
        exif.load(image.info.get('exif', b''))
    return exif.get(_ORIENTATION, 1) >= 5


def _loaded_size(loader, path: str, said) -> tuple[int, int]:
    """Width and height of the loaded image; usually only a header is read.

    If the header differs from the annotation, the pipeline loads the image.
    """
    try:
        with Image.open(path) as image:
            size = image.size
            known = not image.info.get('exif') or not _is_turned(path)
    except Exception:  # others may read what PIL cannot
        known, size = False, (0, 0)
    if known and (said is None or size == tuple(said)):
        return size
    try:
        height, width = loader.transform(dict(img_path=path))['ori_shape']
    except Exception as error:
        raise MMKDValueError(
            f'The image {path} could not be decoded: it is damaged or no '
            'image; replace it, or take it out of the annotations.'
        ) from error
    return width, height
