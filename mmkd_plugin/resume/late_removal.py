"""Remove an old checkpoint only once the new one is complete."""


class LateRemoval:
    """A file backend that delays removals.

    MMEngine's ``CheckpointHook`` removes an old checkpoint before it writes
    the new one.

    Args:
        backend (BaseStorageBackend): The backend that reads and writes.
    """

    def __init__(self, backend) -> None:
        self.backend = backend
        self._marked: list[tuple] = []

    def __getattr__(self, name: str):
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        """Mark a file for removal."""
        self._marked.append((self.backend.remove, path))

    def rmtree(self, path: str) -> None:
        """Mark a folder for removal."""
        self._marked.append((self.backend.rmtree, path))

    def remove_marked(self, keep) -> None:
        """Remove what is marked, once the new checkpoint is complete.

        Args:
            keep (Collection): Paths that were written again since.
        """
        for remove, path in self._marked:
            if path not in keep and self.backend.exists(path):
                remove(path)
        self._marked.clear()
