"""A request to stop that all processes of a run learn of together."""

import signal
import threading
from typing import Any

import torch
from mmengine.dist import get_comm_device, get_world_size
from torch import distributed


class StopRequest:
    """SIGTERM to one process, made known to all.

    They have to stop after the same iteration, so each asks the others in
    every iteration.  Nobody waits for the answer, which is read in the next
    one, when the engine has waited for the GPU anyway.  So they stop one
    iteration later than a process that is alone, and not at all if only the
    last iteration of the training is left.
    """

    def __init__(self) -> None:
        self._own = False
        self._common = False
        self._question: tuple | None = None
        self._handler: Any = None

    @property
    def is_known(self) -> bool:
        """Whether this process knows that it, or another, was asked to."""
        return self._own or self._common

    def listen(self) -> None:
        """Take over the handling of SIGTERM."""
        # Signals can be handled in the main thread alone.
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(
                signal.SIGTERM, lambda *_: self._on_signal()
            )

    def release(self) -> None:
        """Give the handling of SIGTERM back."""
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
            self._handler = None

    def ask(self) -> bool:
        """Read the last answer and, if it was no, ask again.

        All processes must call it in each iteration.

        Returns:
            bool: Whether to stop, the same in all processes.
        """
        if get_world_size() == 1:
            return self._own
        if not self.read():
            own = torch.full((), float(self._own), device=get_comm_device())
            work = distributed.all_reduce(
                own, distributed.ReduceOp.MAX, async_op=True
            )
            self._question = own, work
        return self._common

    def read(self) -> bool:
        """Read the answer to the last question, if there is one left.

        Returns:
            bool: As of :meth:`ask`.
        """
        if self._question is not None:
            answer, work = self._question
            work.wait()
            self._common = bool(answer)
            self._question = None
        return self._common

    def _on_signal(self) -> None:
        self._own = True
        # torch raises an error wherever we are when a worker dies.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
