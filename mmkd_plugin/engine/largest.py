"""One number of each rank, of which all learn the largest."""

import torch
from mmengine.dist import get_comm_device, get_world_size
from torch import distributed


class Largest:
    """The largest number that a rank gave, read when it costs no wait.

    The ranks reduce it in the background, and nobody waits for the answer,
    which is read in the next iteration, when the engine has waited for the
    GPU anyway.
    """

    def __init__(self) -> None:
        self.value = 0.0
        self._question: tuple | None = None

    def give(self, own: float) -> None:
        """Ask for the largest; all ranks must do so at the same place.

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
        self._question = number, work

    def read(self) -> float:
        """Wait for the answer to the last question, if it is not known yet.

        Returns:
            The largest number, 0 before the first question.
        """
        if self._question is not None:
            answer, work = self._question
            self._question = None
            work.wait()
            self.value = float(answer)
        return self.value
