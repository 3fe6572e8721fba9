"""A request to stop that all processes of a run learn of together."""

import signal
from collections.abc import Callable

from mmengine.dist import get_world_size

from ..engine.largest import Largest
from ..engine.signals import take_over


class StopRequest:
    """SIGTERM to one process, made known to all.

    They have to stop after the same iteration, so each asks the others in
    every iteration and reads the answer in the next one.  So they stop one
    iteration later than a process that is alone, and not at all if only the
    last iteration of the training is left.
    """

    def __init__(self) -> None:
        self._own = False
        self._common = Largest()
        self._give_back: Callable | None = None

    @property
    def is_known(self) -> bool:
        """Whether this process knows that it, or another, was asked to."""
        return self._own or bool(self._common.value)

    def listen(self) -> None:
        """Take over the handling of SIGTERM, in this process alone."""
        self._own = False
        self._common = Largest()
        self._give_back = take_over(signal.SIGTERM, self._on_signal)

    def release(self) -> None:
        """Give the handling of SIGTERM back."""
        if self._give_back is not None:
            self._give_back()
            self._give_back = None

    def ask(self) -> bool:
        """Read the last answer and, if it was no, ask again.

        All processes must call it in each iteration.

        Returns:
            Whether to stop, the same in all processes.
        """
        if get_world_size() == 1:
            return self._own
        if not self.read():
            self._common.give(self._own)
        return bool(self._common.value)

    def read(self) -> bool:
        """Read the answer to the last question, if there is one left.

        Returns:
            As of :meth:`ask`.
        """
        return bool(self._common.read())

    def _on_signal(self) -> None:
        self._own = True
        # torch raises an error wherever we are when a worker dies.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
