"""Reading CIFAR-100 from disk."""

import hashlib
import pickle
import tarfile
from pathlib import Path

import numpy as np

from ..exceptions import MMKDFileNotFoundError, MMKDValueError

ARCHIVE = 'cifar-100-python.tar.gz'
FOLDER = 'cifar-100-python'
URL = f'https://www.cs.toronto.edu/~kriz/{ARCHIVE}'
# Only for these contents unpickling is known to be harmless.
MD5 = dict(
    train='16019d7e3df5f24257cddd939b257f8d',
    test='f0ef6b0ae62326f3e7ffdfab6717acfc',
    meta='7973b15100ade9c7d40fb424638fde48',
)
SIZE = 32


def read_cifar100(
    data_root: str, split: str
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read one split of CIFAR-100, in any of three forms.

    Args:
        data_root: Folder with one of: the archive
            ``cifar-100-python.tar.gz``; its unpacked folder
            ``cifar-100-python``; folders ``train`` and ``test`` with one file
            per class, ``<class>.webp`` or ``.png``, whose tiles of 32 x 32
            pixels are the images.
        split: 'train' or 'test'.

    Returns:
        Images, uint8 RGB (N, 3, 32, 32); fine labels, int64 (N,), in
        alphabetical order of the classes; names of the 100 classes.

    Raises:
        FileNotFoundError: If there is none of them.
        ValueError: If a file has other contents than expected.
    """
    root = Path(data_root).expanduser()
    if (root / FOLDER).is_dir():
        return _from_pickles(
            split, lambda name: (root / FOLDER / name).read_bytes(), root
        )
    if (root / ARCHIVE).is_file():
        return _from_archive(split, root / ARCHIVE)
    sheets = sorted(
        path
        for path in (root / split).glob('*')
        if path.suffix in ('.webp', '.png')
    )
    if sheets:
        return _from_sheets(sheets)
    raise MMKDFileNotFoundError(
        f'CIFAR-100 was not found in {str(data_root)!r}: download {URL}, put '
        'it there as it is, or name the folder where it lies with '
        '--cfg-options data_root=/path/to/folder/.'
    )


def _from_archive(split: str, path: Path) -> tuple:
    def read(name: str) -> bytes:
        try:
            with tarfile.open(path) as archive:
                file = archive.extractfile(f'{FOLDER}/{name}')
                if file is None:
                    raise tarfile.TarError(f'{name} is a folder')
                return file.read()
        except (tarfile.TarError, KeyError, EOFError, OSError) as error:
            raise MMKDValueError(
                f'The archive {path} could not be read ({error}): it is '
                f'damaged or another file; download it again from {URL}.'
            ) from error

    return _from_pickles(split, read, path)


def _from_pickles(split: str, read, source: Path) -> tuple:
    def load(name: str) -> dict:
        try:
            content = read(name)
        except FileNotFoundError as error:
            raise MMKDFileNotFoundError(
                f'CIFAR-100 in {source} has no file {name!r}: unpack the '
                f'archive of {URL} again.'
            ) from error
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != MD5[name]:
            raise MMKDValueError(
                f'The file {name!r} of CIFAR-100 in {source} has the md5 '
                f'{found} instead of {MD5[name]}: it is damaged or another '
                f'file; download the archive again from {URL}.'
            )
        return pickle.loads(content, encoding='latin1')

    content = load(split)
    images = np.asarray(content['data'], np.uint8).reshape(-1, 3, SIZE, SIZE)
    labels = np.asarray(content['fine_labels'], np.int64)
    return images, labels, tuple(load('meta')['fine_label_names'])


def _from_sheets(sheets: list[Path]) -> tuple:
    # Not at the top: only this form of the data needs it.
    from PIL import Image

    images, labels = [], []
    for label, path in enumerate(sheets):
        with Image.open(path) as sheet:
            pixels = np.asarray(sheet.convert('RGB'))
        rows, columns = (length // SIZE for length in pixels.shape[:2])
        if pixels.shape[:2] != (rows * SIZE, columns * SIZE) or not rows:
            raise MMKDValueError(
                f'Expected {path} to consist of tiles of {SIZE} x {SIZE} '
                f'pixels but its size is {pixels.shape[1]} x '
                f'{pixels.shape[0]}: give the sheets of CIFAR-100.'
            )
        tiles = pixels.reshape(rows, SIZE, columns, SIZE, 3)
        images.append(
            tiles.transpose(0, 2, 4, 1, 3).reshape(-1, 3, SIZE, SIZE)
        )
        labels.append(np.full(len(images[-1]), label, np.int64))
    names = tuple(path.stem for path in sheets)
    return np.concatenate(images), np.concatenate(labels), names
