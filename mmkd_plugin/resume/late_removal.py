"""Removing an old checkpoint only when the new one is whole."""


class LateRemoval:
    """A file backend that keeps what it is told to remove for a while.

    MMEngine's ``CheckpointHook`` removes an old checkpoint before it writes
    the one that takes its place.

    Args:
        backend (BaseStorageBackend): The backend that does the work.
    """

    def __init__(self, backend) -> None:
        self.backend = backend
        self._marked: list[tuple] = []

    def __getattr__(self, name: str):
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        """Mark a file."""
        self._marked.append((self.backend.remove, path))

    def rmtree(self, path: str) -> None:
        """Mark a folder."""
        self._marked.append((self.backend.rmtree, path))

    def remove_marked(self, keep) -> None:
        """Remove what is marked, now that the new checkpoint is whole.

        Args:
            keep (Collection): Paths that have been written again since.
        """
        for remove, path in self._marked:
            if path not in keep and self.backend.exists(path):
                remove(path)
        self._marked.clear()
