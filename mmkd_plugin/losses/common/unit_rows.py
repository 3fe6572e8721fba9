"""Rows scaled to length 1.

Shapes: N rows, C columns.
"""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def unit_rows(rows: Tensor) -> Tensor:
    """Scale the rows of (N, C) to length 1, and rows of (almost) zeros to 0.

    Rows of zeros have gradient 0. The result can be differentiated once.
    """
    return _UnitRows.apply(rows)


def scaled_unit_rows(rows: Tensor) -> Tensor:
    """The same of rows of any scale: only zeros count as zeros.

    The result can be differentiated once.
    """
    if not rows.numel():
        return rows
    largest = rows.detach().abs().amax(dim=1, keepdim=True)
    return unit_rows(rows / largest.masked_fill(largest == 0, 1))


class _UnitRows(Function):
    """Saves only its result, where autograd would save the input too."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        length = rows.norm(dim=1, keepdim=True)
        eps = torch.finfo(rows.dtype).eps
        length.masked_fill_(length < eps, torch.inf)
        units = rows / length
        ctx.save_for_backward(units, length)
        return units

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tensor:
        units, length = ctx.saved_tensors
        # The part of a gradient along its row does not change the direction.
        along = (grad * units).sum(dim=1, keepdim=True)
        return torch.addcmul(grad, units, along, value=-1).div_(length)
