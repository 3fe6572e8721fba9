"""A bank with a vector of every sample of the training set.

Shapes: M samples in the bank, D numbers each; N rows of a batch.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .unit_rows import unit_rows

# Numbers at a time of what has a column per sample: 128 MiB of float32.
SIZE = 2**25


def new_bank(samples: int, dim: int) -> Tensor:
    """Rows of a uniform distribution, whose mean squared length is 1.

    Args:
        samples: M.
        dim: D.

    Returns:
        (M, D).
    """
    bound = (3 / dim) ** 0.5
    return torch.empty(samples, dim).uniform_(-bound, bound)


def draw_others(classes: Tensor, indices: Tensor, *, count: int) -> Tensor:
    """Draw samples of other classes than that of each anchor.

    Without replacement, by the global generator of the device.

    Args:
        classes: Class of every sample, int64 of shape (M,).
        indices: The anchors, int64 of shape (N,).
        count: How many, K; no class leaves fewer others.

    Returns:
        Indices, int64 of shape (N, K).
    """
    drawn = [indices.new_empty(0, count)]
    for these in _parts(len(indices), len(classes)):
        own = classes[indices[these], None]
        keys = torch.rand(len(own), len(classes), device=classes.device)
        keys.masked_fill_(own == classes, -1)
        drawn.append(keys.topk(count, dim=1, sorted=False).indices)
    return torch.cat(drawn)


def bank_products(rows: Tensor, bank: Tensor, picks: Tensor) -> Tensor:
    """Products of each row with samples of the bank that are picked for it.

    By a product with the whole bank: for thousands of picks that is cheaper
    than to copy a vector for each, and takes D times less memory.

    Args:
        rows: Shape (N, D).
        bank: Shape (M, D); it gets no gradient.
        picks: Indices of shape (N, P), in a row each at most once.

    Returns:
        (N, P).
    """
    return _BankProducts.apply(rows, bank, picks)  # type: ignore[no-any-return]


class _BankProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, bank: Tensor, picks: Tensor) -> Any:
        ctx.save_for_backward(bank, picks)
        products = rows.new_empty(picks.shape)
        for these in _parts(len(rows), len(bank)):
            products[these] = (rows[these] @ bank.T).gather(1, picks[these])
        return products

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        bank, picks = ctx.saved_tensors
        found = grad.new_empty(len(grad), bank.shape[1])
        for these in _parts(len(grad), len(bank)):
            part = grad[these]
            spread = part.new_zeros(len(part), len(bank))
            found[these] = spread.scatter_(1, picks[these], part) @ bank
        return found, None, None


def updated_bank(
    bank: Tensor,
    indices: Tensor,
    rows: Tensor,
    *,
    momentum: float,
    valid: Tensor,
) -> Tensor:
    """Move samples of the bank towards new vectors, and scale them to 1.

    Args:
        bank: Shape (M, D); it stays as it is.
        indices: Samples, int64 of shape (N,).  Of one that is there more
            than once, the last valid row counts.
        rows: Their new vectors, (N, D).
        momentum: Share of the old vector, in [0, 1].
        valid: Which rows count, bool of shape (N,).

    Returns:
        (M, D), the row of a sample ``momentum * old + (1 - momentum) * new``
        over its length.
    """
    if not len(indices):
        return bank
    order = torch.arange(1, len(indices) + 1, device=indices.device)
    same = (indices[:, None] == indices) & valid
    last = (same * order).amax(dim=1) - 1  # -1: none is valid
    old = bank[indices]
    new = unit_rows(momentum * old + (1 - momentum) * rows[last])
    return bank.index_copy(0, indices, new.where(last[:, None] >= 0, old))


def _parts(rows: int, columns: int) -> Iterator[slice]:
    """Rows at a time."""
    count = max(1, SIZE // columns)
    return (slice(start, start + count) for start in range(0, rows, count))
