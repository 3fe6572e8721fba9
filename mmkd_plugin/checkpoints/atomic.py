"""Writing files atomically, so that a process may be killed at any moment.

A file is written under a temporary name and moved when it is complete, so its
own name always has either the old content or the new one.
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

# Name of the backend that `atomic_backend` registers, and its arguments.
NAME = 'mmkd_atomic'
BACKEND_ARGS = dict(backend=NAME)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file atomically: a reader gets all of it or the old content.

    A file keeps its mode and, if this user may set it, its owner.  A pipe or
    a device is written to, not replaced.

    Args:
        path: The file; its folder must exist.
        content: What to write.

    Raises:
        OSError: If it cannot be written; the old file is then unchanged.
    """
    try:
        old = os.stat(path)
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        _write_through(path, content, old)
        return
    path = os.path.realpath(path)
    # One name per rank, because several may write one file at a time, and only
    # one, so that the file of a killed process is overwritten.
    part = f'{path}.{get_rank()}.part'
    # The temporary file must not be readable by more users than the final one.
    mode = 0o666 if old is None else stat.S_IMODE(old.st_mode) & 0o600
    try:
        with suppress(FileNotFoundError):
            os.remove(part)  # its mode may differ
        with open(
            part, 'wb', opener=lambda name, flags: os.open(name, flags, mode)
        ) as file:
            file.write(content)
            file.flush()
            if old is not None:
                _copy_owner_and_mode(file.fileno(), old)
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.remove(part)
        raise


def _copy_owner_and_mode(descriptor: int, old: os.stat_result) -> None:
    """Give a file the owner and the mode of another one."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        # Only root may change the owner.
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _write_through(
    path: str | os.PathLike, content: bytes, old: os.stat_result
) -> None:
    """Write to a pipe or a device."""
    # Otherwise opening a pipe waits for a reader, perhaps for ever.
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
    """Write a UTF-8 file with :func:`write_bytes`."""
    write_bytes(path, text.encode())


class AtomicLocalBackend(LocalBackend):
    """MMEngine's local backend that writes with :func:`write_bytes`."""

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write a file, and create its folder if needed."""
        os.makedirs(os.path.dirname(os.path.abspath(filepath)), exist_ok=True)
        write_bytes(filepath, obj)

    def put_text(
        self, obj: str, filepath: str | os.PathLike, encoding: str = 'utf-8'
    ) -> None:
        """Write a text file, and create its folder if needed."""
        self.put(obj.encode(encoding), filepath)


@contextmanager
def atomic_backend() -> Iterator[None]:
    """Register :class:`AtomicLocalBackend` as :data:`NAME`.

    MMEngine's own ``local`` backend is unchanged.
    """
    before = dict(backends)
    register_backend(NAME, AtomicLocalBackend, force=True)
    try:
        yield
    finally:
        if NAME not in before:
            del backends[NAME]
