"""Boxes as centre and size, and as corners."""

import torch
from torch import Tensor


def corners(boxes: Tensor) -> Tensor:
    """Boxes cx, cy, w, h as x1, y1, x2, y2, (..., 4) both.

    Example:
        >>> import torch
        >>> corners(torch.tensor([0.5, 0.5, 0.5, 0.25])).tolist()
        [0.25, 0.375, 0.75, 0.625]
    """
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def clipped(boxes: Tensor) -> Tensor:
    """Boxes cx, cy, w, h, fractions of an image, cut at its edges.

    Example:
        >>> import torch
        >>> clipped(torch.tensor([0.0, 0.5, 0.5, 0.5])).tolist()
        [0.125, 0.5, 0.25, 0.5]
    """
    first, second = corners(boxes).clamp(0, 1).split(2, dim=-1)
    return torch.cat([(first + second) / 2, second - first], dim=-1)


def pairwise_giou(own: Tensor, other: Tensor) -> Tensor:
    """Generalised IoU of every pair of boxes, in -1 .. 1.

    Args:
        own: Corners, (B, N, 4).
        other: Corners, (B, M, 4).

    Returns:
        (B, N, M).

    References:
        Rezatofighi et al. Generalized Intersection over Union. CVPR 2019,
        arXiv 1902.09630, Algorithm 1.

    Example:
        >>> import torch
        >>> box = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
        >>> pairwise_giou(box, box + 1).tolist()
        [[[-0.5]]]
    """
    own, other = own[:, :, None], other[:, None]
    tiny = torch.finfo(own.dtype).tiny

    def area(first: Tensor, second: Tensor) -> Tensor:
        return (second - first).clamp(min=0).prod(dim=-1)

    def bounds(box: Tensor) -> tuple[Tensor, Tensor]:
        return box[..., :2], box[..., 2:]

    (a1, a2), (b1, b2) = bounds(own), bounds(other)
    both = area(torch.maximum(a1, b1), torch.minimum(a2, b2))
    union = (area(a1, a2) + area(b1, b2) - both).clamp(min=tiny)
    hull = area(torch.minimum(a1, b1), torch.maximum(a2, b2)).clamp(min=tiny)
    return both / union - (hull - union) / hull
