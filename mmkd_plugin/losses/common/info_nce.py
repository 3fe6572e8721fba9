"""InfoNCE whose memory is linear, not quadratic, in the number of rows.

Shapes: N anchors, W rows that they are compared with, C columns.
"""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# Similarities in memory at once, 64 MiB in float32: the 8 x 512 RoIs of eight
# images fit into one block, for which nothing is computed twice.
BLOCK = 4096 * 4096


def info_nce(
    rows: Tensor,
    anchors: Tensor,
    *,
    tau: float,
    absent: Tensor | None = None,
    labels: Tensor | None = None,
) -> Tensor:
    """``-log(exp(a_i . r_i / tau) / sum_j exp(a_i . r_j / tau))``.

    It needs memory for the arguments and for one block of at most ``BLOCK``
    similarities. With several blocks, the backward pass recomputes the
    similarities, which adds half of the work.

    Args:
        rows: Shape (W, C), the first N being the positives of the anchors.
        anchors: Shape (N, C), same dtype; they get no gradient.
        tau: Temperature, positive.
        absent: Bool of shape (W,), rows that no anchor is compared with.
            The values of their own anchors are undefined.
        labels: Class ids of shape (W,). An anchor is then compared with its
            positive and the rows of other classes. None: with all rows.

    Returns:
        Values of shape (N,). They can be differentiated once.
    """
    apply = _InfoNCE.apply if _is_one_block(rows, anchors) else _in_blocks
    return apply(rows, anchors, tau, absent, labels)


# Compiling would unroll the blocks, and again for each number of rows.
@torch.compiler.disable
def _in_blocks(*args) -> Tensor:
    return _InfoNCE.apply(*args)


class _InfoNCE(Function):
    @staticmethod
    def forward(ctx, rows, anchors, tau, absent, labels):
        ctx.tau = tau
        values = []
        blocks = _blocks(rows, anchors)
        for block in blocks:
            log_p = _log_softmax(block, rows, anchors, tau, absent, labels)
            values.append(-log_p.diagonal(block.start))
        kept = _gradient(block, log_p) if len(blocks) == 1 else None
        ctx.save_for_backward(rows, anchors, absent, labels, kept)
        return torch.cat(values)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        rows, anchors, absent, labels, kept = ctx.saved_tensors
        total = torch.zeros_like(rows)
        for block in _blocks(rows, anchors):
            gradient = kept
            if gradient is None:
                log_p = _log_softmax(
                    block, rows, anchors, ctx.tau, absent, labels
                )
                gradient = _gradient(block, log_p)
            pull = anchors[block] * grad[block].unsqueeze(1)
            total.addmm_(gradient.T, pull, alpha=1 / ctx.tau)
        return total, None, None, None, None


def _is_one_block(rows: Tensor, anchors: Tensor) -> bool:
    return len(rows) * len(anchors) <= BLOCK


def _blocks(rows: Tensor, anchors: Tensor) -> list[slice]:
    """Blocks of at least one anchor and at most ``BLOCK`` similarities."""
    if _is_one_block(rows, anchors):
        return [slice(0, len(anchors))]
    size = max(BLOCK // len(rows), 1)
    starts = range(0, len(anchors), size)
    return [slice(i, min(i + size, len(anchors))) for i in starts]


def _log_softmax(block, rows, anchors, tau, absent, labels) -> Tensor:
    """Log-probabilities of all rows for the anchors of a block."""
    # In place: autocast would run the out-of-place product, and no other op
    # in losses/, in half precision.
    similarity = rows.new_empty(block.stop - block.start, len(rows))
    similarity.addmm_(anchors[block], rows.T, beta=0, alpha=1 / tau)
    # The lowest finite number, not -inf: inf - inf would be NaN where every
    # row is masked.
    lowest = torch.finfo(similarity.dtype).min
    if labels is not None:
        same = labels[block, None] == labels
        same.diagonal(block.start).fill_(False)
        similarity.masked_fill_(same, lowest)
    if absent is not None:
        similarity.masked_fill_(absent, lowest)
    return similarity.log_softmax(dim=1)


def _gradient(block, log_p) -> Tensor:
    """Gradient for the similarities / tau; overwrites ``log_p``."""
    p = log_p.exp_()
    p.diagonal(block.start).sub_(1)
    return p
