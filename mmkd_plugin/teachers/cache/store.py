"""Rows of logits in a file, each with a checksum.

Several processes and several trainings may use one folder at a time.  Nothing
needs to be locked: a row counts only if it has the checksum that is stored for
it, so one that was half written, by a process that was killed or two at once,
counts as empty.
"""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from ...exceptions import MMKDOSError, MMKDValueError

LOGITS, SUMS, MANIFEST = 'logits.npy', 'checksums.npy', 'manifest.json'
DAMAGED = (
    'The file {path} of the cached logits {reason}: delete the folder, and '
    'the logits are computed anew.'
)


def create(folder: Path, rows: int, columns: int, manifest: str) -> None:
    """Make a folder of empty rows, unless it is there.

    It appears at once and whole, of as many processes as may try.

    Args:
        folder: Its parent folders are made too.
        rows: Number of rows, R.
        columns: Logits of a row, C.
        manifest: Text of a file beside them.

    Raises:
        OSError: If the folder cannot be made.
        ValueError: If there is another one of this name.
    """
    if (folder / MANIFEST).is_file():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix='.part', dir=folder.parent))
        part.chmod(0o777 & ~_umask())
        (part / MANIFEST).write_text(manifest)
        for name, dtype, shape in _arrays(rows, columns):
            # A sparse file, which takes no place until it is written to.
            np.lib.format.open_memmap(part / name, 'w+', dtype, shape)
        try:
            part.rename(folder)
        except OSError as error:
            shutil.rmtree(part)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    except OSError as error:
        raise MMKDOSError(
            f'The folder {folder} for cached logits could not be made '
            f'({error.strerror}): let `cache` in `teacher` name one that you '
            'may write.'
        ) from error
    if not (folder / MANIFEST).is_file():
        raise MMKDValueError(
            f'The folder {folder}, which `cache` in `teacher` names, has '
            f'files but no {MANIFEST}, so it holds no cached logits: name a '
            'folder of its own.'
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _arrays(rows: int, columns: int) -> list[tuple]:
    """Name, dtype and shape of each file."""
    return [(LOGITS, '<f4', (rows, columns)), (SUMS, '<u4', (rows,))]


class Store:
    """The files of a folder that :func:`create` made.

    Args:
        folder: The folder.
        rows, columns: As there.

    Raises:
        ValueError: If a file is missing, cut off or another one.
        OSError: If there is no place on the disk for the rows that are empty.
    """

    def __init__(self, folder: Path, rows: int, columns: int) -> None:
        self.folder = folder
        self._logits, self._sums = (
            _open(folder / name, dtype, shape)
            for name, dtype, shape in _arrays(rows, columns)
        )
        # Odd, so that a change of one number always changes the sum.
        self._factors = np.random.RandomState(0).randint(
            0, 2**31, columns, dtype=np.uint32
        )
        self._factors = 2 * self._factors + 1
        self._check_place()

    def __len__(self) -> int:
        return len(self._sums)

    def filled(self) -> np.ndarray:
        """Numbers of the rows that have a checksum, in order."""
        return np.flatnonzero(self._sums)

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read some rows.

        Args:
            rows: Their numbers, (N,).

        Returns:
            Logits, (N, C), float32, and which of them are filled, (N,);
            those of the others mean nothing.

        Raises:
            ValueError: If there is no row of such a number.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise MMKDValueError(
                f'Expected rows from 0 to {len(self) - 1} of the cached '
                f'logits in {self.folder} but got {rows.min()} to '
                f'{rows.max()}: the data set gives a `sample_idx` or '
                '`variant` that it does not have.'
            )
        logits = self._logits[rows]
        return logits, self._sum(logits) == self._sums[rows]

    def write(self, rows: np.ndarray, logits: np.ndarray) -> None:
        """Write some rows.

        Args:
            rows: Their numbers, (N,).
            logits: (N, C), float32.

        Raises:
            OSError: If they cannot, because the disk is full or may not be
            written to.
        """
        logits = np.ascontiguousarray(logits, self._logits.dtype)
        sums = self._sum(logits)
        try:
            for array, values in ((self._logits, logits), (self._sums, sums)):
                _put(array, rows, values)
        except OSError as error:
            raise MMKDOSError(
                f'Logits could not be written to {self.folder} '
                f'({error.strerror}): make room on its disk, let it be '
                'written to, or let `cache` in `teacher` name another folder.'
            ) from error

    def clear(self, rows: np.ndarray) -> None:
        """Make some rows empty, so that they are computed again.

        Args:
            rows: Their numbers, (N,).
        """
        _put(self._sums, rows, np.zeros(len(rows), self._sums.dtype))

    def _sum(self, logits: np.ndarray) -> np.ndarray:
        """Checksum of each row, never 0, which stands for an empty row."""
        words = logits.view('<u4')
        sums = np.multiply(words, self._factors).sum(1, dtype=np.uint32)
        return np.where(sums == 0, np.uint32(1), sums)

    def _check_place(self) -> None:
        """Raise unless the disk has place for the rows that are empty."""
        empty = len(self) - np.count_nonzero(self._sums)
        needed = empty * (self._logits.strides[0] + 4)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise MMKDOSError(
                f'The cached logits in {self.folder} need another '
                f'{needed / 1e9:.2f} GB, but its disk has {free / 1e9:.2f} '
                'GB left: make room, or let `cache` in `teacher` name a '
                'folder on another disk.'
            )


def _put(array: np.memmap, rows: np.ndarray, values: np.ndarray) -> None:
    """Write rows of an array, not through its map: a full disk would kill."""
    size = values[:1].nbytes
    file = os.open(str(array.filename), os.O_WRONLY)
    try:
        for row, value in zip(rows.tolist(), values):
            os.pwrite(file, value.tobytes(), array.offset + row * size)
    finally:
        os.close(file)


def _open(path: Path, dtype: str, shape: tuple) -> np.memmap:
    try:
        array = np.load(path, mmap_mode='r', allow_pickle=False)
    except FileNotFoundError as error:
        raise MMKDValueError(
            DAMAGED.format(path=path, reason='is not there')
        ) from error
    except (OSError, ValueError, EOFError) as error:
        reason = f'cannot be read ({str(error).splitlines()[0]})'
        raise MMKDValueError(
            DAMAGED.format(path=path, reason=reason)
        ) from error
    if (
        not isinstance(array, np.memmap)
        or (array.dtype.str, array.shape) != (dtype, shape)
        or not array.flags.c_contiguous
    ):
        kind = getattr(array, 'dtype', type(array).__name__)
        reason = (
            f'holds {kind} of shape {getattr(array, "shape", "?")} instead '
            f'of {np.dtype(dtype)} of shape {shape}'
        )
        raise MMKDValueError(DAMAGED.format(path=path, reason=reason))
    return array
