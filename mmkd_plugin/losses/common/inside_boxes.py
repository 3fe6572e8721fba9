"""Which places of a map lie inside ground-truth boxes.

Shapes: B images, n boxes of an image, h x w places.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...exceptions import MMKDTypeError, MMKDValueError


def inside_boxes(boxes: Sequence[Tensor] | None, maps: Tensor) -> Tensor:
    """Mark the cells that a box touches, so that a small one has one too.

    Args:
        boxes: Of each of B images, (n, 4), x1 y1 x2 y2 as fractions of the
            width and height that the maps show.  n may be 0.
        maps: Maps (B, C, h, w), for their size and device.

    Returns:
        Bool of shape (B, h, w).

    Raises:
        TypeError: If there are no boxes.
        ValueError: If their number or shapes are others.

    Example:
        >>> import torch
        >>> boxes = [torch.tensor([[0.0, 0.3, 0.5, 0.4]])]
        >>> inside_boxes(boxes, torch.zeros(1, 8, 2, 4)).int().tolist()
        [[[1, 1, 0, 0], [0, 0, 0, 0]]]
    """
    if boxes is None or isinstance(boxes, Tensor):
        got = 'one tensor' if boxes is not None else None
        raise MMKDTypeError(
            'Expected argument `labels` to be the ground-truth boxes of each '
            f'image, a list of tensors (n, 4), but got {got}: train a '
            'detector, or leave out the weights that need boxes.'
        )
    shapes = [tuple(rows.shape) for rows in boxes]
    if len(boxes) != len(maps) or any(
        len(shape) != 2 or shape[1] != 4 for shape in shapes
    ):
        raise MMKDValueError(
            f'Expected argument `labels` to be {len(maps)} tensors of shape '
            f'(n, 4), the boxes of each image, but got shapes {shapes}.'
        )
    height, width = maps.shape[2:]
    return torch.stack([_mark(rows.to(maps), height, width) for rows in boxes])


def _mark(boxes: Tensor, height: int, width: int) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(1)
    rows = _touched(y1 * height, y2 * height, height)
    columns = _touched(x1 * width, x2 * width, width)
    # Numbers of boxes, without a mask per box.
    return rows.T @ columns > 0


def _touched(low: Tensor, high: Tensor, cells: int) -> Tensor:
    """1 for each cell of a line that an interval touches, (n, cells)."""
    place = torch.arange(cells, device=low.device).to(low)
    touched = (low[:, None] < place + 1) & (high[:, None] > place)
    return touched.to(low)
