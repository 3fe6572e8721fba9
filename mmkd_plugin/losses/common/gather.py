"""All-gather of rows, with the gradient that one big batch would give.

Shapes: N rows on this rank; N may differ between ranks and be 0.
"""

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd import Function


class _GatherRows(Function):
    """All-gather of ragged rows; its backward sums over the ranks."""

    @staticmethod
    def forward(ctx, rows: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
        ctx.sizes = sizes
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        gathered = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(gathered, padded)
        return tuple(part[:size] for part, size in zip(gathered, sizes))

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        total = torch.cat(grads)
        dist.all_reduce(total)
        return total.split(ctx.sizes)[dist.get_rank()], None


@torch.compiler.disable
def gather_rows(rows: Tensor) -> tuple[Tensor, ...]:
    """Collect the rows of every rank of the default process group.

    All ranks must call it, one without rows with a tensor of shape (0, ...),
    and all must run its backward: the gradient of a row is summed over the
    ranks. If each rank computes the value of the whole batch from the rows,
    ``DistributedDataParallel``, which averages over ranks, gives the gradient
    of that value.

    Args:
        rows: Shape (N, ...), with the same dtype and trailing shape on all
            ranks; all or none require a gradient.

    Returns:
        The rows of rank 0, 1, ..., each (N of that rank, ...); ``(rows,)``
        if there is one rank.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return (rows,)
    if dist.get_world_size() == 1:
        return (rows,)
    # Not `torch.tensor`, whose copy to the GPU would synchronize.
    size = rows.new_full((1,), len(rows), dtype=torch.int64)
    sizes = [torch.empty_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    sizes = torch.cat(sizes).tolist()
    return _GatherRows.apply(rows, sizes)


def other_ranks(gathered: tuple[Tensor, ...]) -> Tensor:
    """Rows of the other ranks, from the result of :func:`gather_rows`."""
    rank = dist.get_rank() if len(gathered) > 1 else 0
    rest = gathered[:rank] + gathered[rank + 1 :]
    return torch.cat(rest) if rest else gathered[0][:0]
