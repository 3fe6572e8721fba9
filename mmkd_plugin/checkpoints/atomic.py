"""Writing files so that a process may be killed at any moment.

A file is written beside its place and moved there when it is whole, so that
under its name there is always the old content or the new one.
"""

import errno
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mmengine.dist import get_rank
from mmengine.fileio import LocalBackend, register_backend
from mmengine.fileio.backends.registry_utils import backends

# Of the backend that `atomic_backend` registers, and how to ask for it.
NAME = 'mmkd_atomic'
BACKEND_ARGS = dict(backend=NAME)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file at once: a reader finds all of it or what was there.

    A file keeps its mode and, if this user may, its owner.  What is no
    regular file, such as a pipe or a device, is written to, not replaced.

    Args:
        path: The file; its folder must exist.
        content: What to write.

    Raises:
        OSError: If it cannot be written; the old file is then untouched.
    """
    try:
        old = os.stat(path)
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        _write_through(path, content, old)
        return
    path = os.path.realpath(path)
    # One name a rank, because several may write one file at a time, and no
    # more, so that what a killed process left is written over.
    part = f'{path}.{get_rank()}.part'
    # Nobody may read while it is written what nobody may read afterwards.
    mode = 0o666 if old is None else stat.S_IMODE(old.st_mode) & 0o600
    try:
        with suppress(FileNotFoundError):
            os.remove(part)  # its mode may be another one
        with open(
            part, 'wb', opener=lambda name, flags: os.open(name, flags, mode)
        ) as file:
            file.write(content)
            file.flush()
            if old is not None:
                _take_over(file.fileno(), old)
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.remove(part)
        raise


def _take_over(descriptor: int, old: os.stat_result) -> None:
    """Give a file the owner and the mode of another one."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        # Only root may give a file away.
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _write_through(
    path: str | os.PathLike, content: bytes, old: os.stat_result
) -> None:
    """Write to a pipe or a device."""
    # Else opening a pipe waits until somebody reads, perhaps for ever.
    flags = os.O_WRONLY | os.O_NONBLOCK * stat.S_ISFIFO(old.st_mode)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno != errno.ENXIO or not stat.S_ISFIFO(old.st_mode):
            raise
        warnings.warn(
            f'Nobody reads the pipe {os.fspath(path)}: the {len(content)} '
            'bytes for it are lost.',
            stacklevel=3,
        )
        return
    os.set_blocking(descriptor, True)
    with open(descriptor, 'wb') as file:
        file.write(content)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 file by :func:`write_bytes`."""
    write_bytes(path, text.encode())


class AtomicLocalBackend(LocalBackend):
    """MMEngine's local files, written by :func:`write_bytes`."""

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write a file, and its folder if it is not there."""
        os.makedirs(os.path.dirname(os.path.abspath(filepath)), exist_ok=True)
        write_bytes(filepath, obj)

    def put_text(
        self, obj: str, filepath: str | os.PathLike, encoding: str = 'utf-8'
    ) -> None:
        """Write a text file, and its folder if it is not there."""
        self.put(obj.encode(encoding), filepath)


@contextmanager
def atomic_backend() -> Iterator[None]:
    """Let MMEngine find :class:`AtomicLocalBackend` by :data:`NAME`.

    MMEngine's own ``local`` backend stays what it is.
    """
    before = dict(backends)
    register_backend(NAME, AtomicLocalBackend, force=True)
    try:
        yield
    finally:
        if NAME not in before:
            del backends[NAME]
