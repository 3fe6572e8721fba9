"""A loss of large maps, a few channels at a time and with its own gradient.

Shapes: B images; C channels, of which c at a time; h x w places.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Part = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# Numbers of a map at a time: 16 MiB of float32, which an allocator keeps, and
# enough for a GPU to be busy.
SIZE = 2**22


def by_channels(part: Part, student: Tensor, teacher: Tensor) -> Tensor:
    """The sum of a loss over channels, where each has a loss of its own.

    It computes, but for rounding::

        value, gradient = part(student, teacher)

    and keeps for the backward pass the gradient alone: one map, whereas
    autograd keeps one per operation.  What ``part`` needs in between has the
    size of a few channels.

    Args:
        part: Given maps of student and teacher, (B, c, h, w), without graph,
            it returns the sum of their losses, a scalar, and its gradient
            with respect to the student's, in their shape.
        student: Maps of shape (B, C, h, w).
        teacher: Maps of the same shape; they get no gradient.

    Returns:
        A scalar.
    """
    return _ByChannels.apply(part, student, teacher)  # type: ignore[no-any-return]


class _ByChannels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Part, student: Tensor, teacher: Tensor) -> Any:
        channels = student.shape[1]
        count = max(1, SIZE * channels // max(1, student.numel()))
        gradient = torch.empty_like(student)
        values = []
        for start in range(0, channels, count):
            these = slice(start, start + count)
            value, gradient[:, these] = part(
                student[:, these], teacher[:, these]
            )
            values.append(value)
        ctx.save_for_backward(gradient)
        return torch.stack(values).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return None, upstream * gradient, None
