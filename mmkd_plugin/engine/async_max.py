"""The maximum of one number over all ranks, without waiting for it."""

import torch
from mmengine.dist import get_comm_device, get_world_size
from torch import distributed


class AsyncMax:
    """All-reduce of a maximum, read one iteration later.

    The all-reduce runs in the background. Its result is read in the next
    iteration, after the engine has synchronized the GPU anyway.
    """

    def __init__(self) -> None:
        self.value = 0.0
        self._pending: tuple | None = None

    def give(self, own: float) -> None:
        """Start the all-reduce; all ranks must call it at the same place.

        Args:
            own: The number of this rank, 0 or larger.
        """
        if get_world_size() == 1:
            self.value = own
            return
        number = torch.full((), float(own), device=get_comm_device())
        work = distributed.all_reduce(
            number, distributed.ReduceOp.MAX, async_op=True
        )
        self._pending = number, work

    def read(self) -> float:
        """Wait for the result of the last :meth:`give`, unless it is known.

        Returns:
            The maximum, 0 before the first :meth:`give`.
        """
        if self._pending is not None:
            result, work = self._pending
            self._pending = None
            work.wait()
            self.value = float(result)
        return self.value
