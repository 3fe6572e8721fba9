"""A request to stop that reaches all ranks in the same iteration."""

import signal
from collections.abc import Callable

from mmengine.dist import get_world_size

from ..engine.async_max import AsyncMax
from ..engine.signals import take_over


class StopRequest:
    """SIGTERM to one rank, sent on to all.

    All ranks must stop after the same iteration, so they start an all-reduce
    in every iteration and read its result in the next one.  They therefore
    stop one iteration later than a single process, and not at all if only the
    last iteration of the training is left.
    """

    def __init__(self) -> None:
        self._this_rank = False
        self._any_rank = AsyncMax()
        self._give_back: Callable | None = None

    @property
    def is_known(self) -> bool:
        """Whether this rank knows that it, or another one, got SIGTERM."""
        return self._this_rank or bool(self._any_rank.value)

    def listen(self) -> None:
        """Install a handler of SIGTERM, in this process only."""
        self._this_rank = False
        self._any_rank = AsyncMax()
        self._give_back = take_over(signal.SIGTERM, self._on_signal)

    def release(self) -> None:
        """Restore the old handler of SIGTERM."""
        if self._give_back is not None:
            self._give_back()
            self._give_back = None

    def ask(self) -> bool:
        """Read the last all-reduce and, unless it says stop, start another.

        All ranks must call it in each iteration.

        Returns:
            Whether to stop, the same on all ranks.
        """
        if get_world_size() == 1:
            return self._this_rank
        if not self.read():
            self._any_rank.give(self._this_rank)
        return bool(self._any_rank.value)

    def read(self) -> bool:
        """Wait for the last all-reduce, if one is pending.

        Returns:
            As :meth:`ask`.
        """
        return bool(self._any_rank.read())

    def _on_signal(self) -> None:
        self._this_rank = True
        # Otherwise torch raises wherever we are when a worker dies.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
