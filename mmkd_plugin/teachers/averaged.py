"""Several teachers as one."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .teacher import Teacher


class AveragedTeachers:
    """Several teachers that act as one, with averaged probabilities.

    Args:
        teachers: Two or more.
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self.teachers = teachers

    @property
    def missing(self) -> Tensor | None:
        """See :class:`.Teacher`; the same of all."""
        return self.teachers[0].missing

    @property
    def known(self) -> Tensor | None:
        """See :class:`.Teacher`; the same of all."""
        return self.teachers[0].known

    def see(self, inputs: Tensor, data_samples=None) -> None:
        """See :meth:`.Teacher.see`."""
        for teacher in self.teachers:
            teacher.see(inputs, data_samples)

    @torch.no_grad()
    def logits(self, ask: Callable, pick: Callable | None = None) -> Tensor:
        """Logits of the averaged probabilities.

        Args:
            ask, pick: See :meth:`.Teacher.logits`.

        Returns:
            (N, C), float32.
        """
        logits = [teacher.logits(ask, pick) for teacher in self.teachers]
        probabilities = torch.stack(logits).float().log_softmax(-1)
        return probabilities.logsumexp(0) - math.log(len(logits))

    def forget(self) -> None:
        """See :meth:`.Teacher.forget`."""
        for teacher in self.teachers:
            teacher.forget()
