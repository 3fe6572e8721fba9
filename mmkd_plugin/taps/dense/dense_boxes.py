"""The boxes that dense heads predict, as corners in pixels.

B images, L levels of h_l x w_l places with A anchors or points each, M rows
over all of them; R + 1 bins per distance, at 0 .. R strides.
"""

from typing import Any

import torch
from torch import Tensor

from ..anchors import as_rows
from .dense_heads import OF_DELTAS, Maps, family_of


def corners(head: Any, maps: Maps, *, training: bool) -> Tensor:
    """Decode the boxes of a head, with gradient.

    Args:
        head: One that :func:`~mmkd_plugin.taps.dense.dense_heads.refuse_boxes`
            accepts.
        maps: What it gave.
        training: Whether it gave them in training mode: an ``FCOSHead`` with
            ``norm_on_bbox`` then gives distances in strides.

    Returns:
        Corners x1, y1, x2, y2, (M, 4), float32, in pixels of the padded
        batch, not clipped, in the order of
        :func:`~mmkd_plugin.taps.anchors.as_rows`.
    """
    places = _places(head, maps)
    family = family_of(head)
    if family in OF_DELTAS:
        deltas = as_rows(maps.boxes, 4).float()
        boxes = head.bbox_coder.decode(torch.cat(places), deltas)
        return getattr(boxes, 'tensor', boxes)
    columns = 4
    in_strides = family == 'FCOSHead' and training and head.norm_on_bbox
    if family == 'GFLHead':
        columns, in_strides = 4 * (head.reg_max + 1), True
    found = []
    for points, level, stride in zip(
        places, maps.boxes, head.prior_generator.strides
    ):
        distances = as_rows([level], columns).float()
        if family == 'GFLHead':
            distances = expected_distances(distances.unflatten(1, (4, -1)))
        if in_strides:
            distances = distances * stride[0]
        if points.shape[1] == 4:  # of anchors, the centre
            points = (points[:, :2] + points[:, 2:]) / 2
        found.append(
            torch.cat(
                [points - distances[:, :2], points + distances[:, 2:]], 1
            )
        )
    return torch.cat(found)


def expected_distances(bins: Tensor) -> Tensor:
    """Mean of the distribution over the bins.

    Args:
        bins: Logits of the bins, (N, 4, R + 1).

    Returns:
        (N, 4), in strides.
    """
    # Not a matrix product, which autocast would round to half precision.
    steps = torch.arange(bins.shape[2], device=bins.device)
    return (bins.softmax(dim=2) * steps).sum(dim=2)


def _places(head: Any, maps: Maps) -> list[Tensor]:
    """Anchors (., 4) or points (., 2) of the rows of each level."""
    sizes = [level.shape[-2:] for level in maps.boxes]
    images, device = len(maps.boxes[0]), maps.boxes[0].device
    places = head.prior_generator.grid_priors(sizes, device=device)
    return [
        getattr(level, 'tensor', level).repeat(images, 1) for level in places
    ]
