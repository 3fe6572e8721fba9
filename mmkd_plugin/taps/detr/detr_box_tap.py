"""The boxes of the queries of Deformable DETR and DINO.

R rows: a query of an image in a decoder layer each.
"""

import torch
from mmengine.registry import TASK_UTILS
from torch import Tensor

from ...arguments import check_switch
from ..boxes import corners
from ..reading import Reading
from .detr_pairs import Pairs
from .detr_tap import DETRTap


@TASK_UTILS.register_module()
class DETRBoxTap(DETRTap):
    """Read the boxes of the queries of student and teacher, for an L1 loss.

    Args:
        crossed: See :class:`~mmkd_plugin.taps.detr.detr_tap.DETRTap`.
        pixels: Whether a box is its corners x1, y1, x2, y2 in pixels, instead
            of cx, cy, w, h as fractions of the image, as MMDetection's own L1
            loss has it.

    Raises:
        TypeError: If an argument is not True or False.
    """

    kind = 'boxes'

    def __init__(self, crossed: bool = False, pixels: bool = False) -> None:
        super().__init__(crossed)
        check_switch(pixels=pixels)
        self.pixels = pixels

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its boxes in the reading are then a
                placeholder.

        Returns:
            Boxes (R, 4); labels None; weights (R,), if crossed the teacher's
            largest probability of a class divided by its mean over the
            decoder layer, 1 if not.  None if the student did not run.

        Raises:
            RuntimeError: If student and teacher have levels of other sizes.
        """
        pairs = self.pairs(teacher)
        if pairs is None:
            return None
        own, other = pairs.own.boxes, pairs.other.boxes
        if self.pixels:
            own, other = _in_pixels(pairs)
        return Reading(own, other, None, pairs.weights)


@TASK_UTILS.register_module()
class DETRCornerTap(DETRTap):
    """Read the boxes of the queries of student and teacher, for an IoU loss.

    Args:
        crossed: See :class:`~mmkd_plugin.taps.detr.detr_tap.DETRTap`.

    Raises:
        TypeError: If ``crossed`` is not True or False.
    """

    kind = 'corners'

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its boxes in the reading are then a
                placeholder.

        Returns:
            Corners x1, y1, x2, y2 in pixels of the padded batch, (R, 4);
            labels (R,), 1: every row is one of a pair; weights (R,), as of
            :class:`DETRBoxTap`.  None if the student did not run.

        Raises:
            RuntimeError: If student and teacher have levels of other sizes.
        """
        pairs = self.pairs(teacher)
        if pairs is None:
            return None
        own, other = _in_pixels(pairs)
        labels = torch.ones_like(pairs.weights, dtype=torch.int64)
        return Reading(own, other, labels, pairs.weights)


def _in_pixels(pairs: Pairs) -> list[Tensor]:
    """The boxes of both as corners in pixels."""
    return [
        corners(each.boxes) * pairs.sizes for each in (pairs.own, pairs.other)
    ]
