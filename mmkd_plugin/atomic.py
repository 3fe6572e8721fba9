"""Writing files so that a process may be killed at any moment.

A file is written beside its place and moved there when it is whole, so that
under its name there is always the old content or the new one.
"""

import os

from mmengine.dist import get_rank
from mmengine.fileio import LocalBackend, register_backend


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file at once: a reader finds all of it or what was there.

    Args:
        path (str | os.PathLike): The file; its folder must exist.
        content (bytes): What to write.

    Raises:
        OSError: If it cannot be written; the old file is then untouched.
    """
    path = os.path.realpath(path)
    # One name a rank, because several may write one file at a time, and no
    # more, so that what a killed process left is written over.
    part = f'{path}.{get_rank()}.part'
    try:
        with open(part, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.remove(part)
        raise


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


def install_atomic_saving() -> None:
    """Let MMEngine write local files, checkpoints above all, so."""
    register_backend('local', AtomicLocalBackend, force=True, prefixes='')


class LateRemoval:
    """A file backend that keeps what it is told to remove for a while.

    MMEngine's ``CheckpointHook`` removes an old checkpoint before it writes
    the one that takes its place.

    Args:
        backend (BaseStorageBackend): The backend that does the work.
    """

    def __init__(self, backend) -> None:
        self._backend = backend
        self._marked: list[tuple] = []

    def __getattr__(self, name: str):
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        """Mark a file."""
        self._marked.append((self._backend.remove, path))

    def rmtree(self, path: str) -> None:
        """Mark a folder."""
        self._marked.append((self._backend.rmtree, path))

    def remove_marked(self, keep) -> None:
        """Remove what is marked, now that the new checkpoint is whole.

        Args:
            keep (Collection): Paths that have been written again since.
        """
        for remove, path in self._marked:
            if path not in keep and self._backend.exists(path):
                remove(path)
        self._marked.clear()
