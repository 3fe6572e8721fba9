"""Masks of foreground and background, from the boxes of a batch.

Shapes: B images, n boxes of an image; h x w places of a map.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...exceptions import MMKDValueError


def box_masks(boxes: Sequence[Tensor], maps: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the places inside and outside of boxes.

    A box x1, y1, x2, y2 covers the columns floor(x1 w) to ceil(x2 w) and the
    rows floor(y1 h) to ceil(y2 h), both inclusive.  Its area is the product
    of their numbers, also where the last ones lie beyond the map::

        foreground = 1 / area of the smallest box that covers the place, or 0
        background = 1 / (number of places without a box) there, 0 elsewhere

    A small object counts as much as a large one, and the background of an
    image sums to 1, or to 0 if boxes cover all of it.

    Args:
        boxes: Of each image, (n, 4), as fractions of the width and height of
            what the map shows, padding included; n may be 0.
        maps: A map of shape (B, C, h, w), for shape, type and device.

    Returns:
        Foreground and background, each (B, 1, h, w), without gradient.

    Raises:
        ValueError: If there are not boxes of B images, each (n, 4).

    Example:
        >>> import torch
        >>> boxes = [torch.tensor([[0.0, 0.0, 0.5, 0.2]])]
        >>> foreground, background = box_masks(boxes, torch.zeros(1, 9, 2, 3))
        >>> (6 * foreground).tolist()
        [[[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]]
        >>> background.sum().item()
        0.0
    """
    shapes = [tuple(rows.shape) for rows in boxes]
    if len(boxes) != len(maps) or any(
        rows.ndim != 2 or rows.shape[1] != 4 for rows in boxes
    ):
        raise MMKDValueError(
            f'Expected argument `labels` to be boxes of {len(maps)} images, '
            f'each of shape (n, 4), but got shapes {shapes}: give x1, y1, x2, '
            'y2 of each box.'
        )
    masks = [_foreground(rows.detach().to(maps), maps) for rows in boxes]
    foreground = torch.stack(masks).unsqueeze(1)
    background = (foreground == 0).to(maps)
    count = background.sum(dim=(1, 2, 3), keepdim=True)
    return foreground, background / count.clamp(min=1)


def _foreground(boxes: Tensor, maps: Tensor) -> Tensor:
    """The mask (h, w) of one image."""
    height, width = maps.shape[2:]
    if not len(boxes):
        return maps.new_zeros(height, width)
    size = boxes.new_tensor([width, height])
    first, last = (boxes[:, :2] * size).floor(), (boxes[:, 2:] * size).ceil()
    value = 1 / (last - first + 1).prod(dim=1)
    columns, rows = (
        (places >= first[:, i, None]) & (places <= last[:, i, None])
        for i, places in enumerate(
            torch.arange(n, device=maps.device) for n in (width, height)
        )
    )
    covered = rows[:, :, None] & columns[:, None, :]
    # Not a product: a box that is turned inside out has an area of 0.
    values = torch.where(covered, value[:, None, None], value.new_zeros(()))
    return values.amax(dim=0)
