"""The boxes of a dense head, as corners in pixels.

M rows (anchors or points) over the batch and the levels.
"""

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor

from ...arguments import check_choice
from ..reading import Reading
from .dense_boxes import corners
from .dense_heads import Maps, refuse_boxes
from .dense_record import Rows
from .dense_tap import DenseTap, no_rows
from .dense_towers import BOXES


@TASK_UTILS.register_module()
class DenseBoxTap(DenseTap):
    """Read the boxes of a dense head, and those of the teacher.

    A row per anchor or point, decoded to corners.

    Works with the heads that
    :class:`~mmkd_plugin.taps.dense.dense_head_tap.DenseHeadTap` reads; a
    ``RetinaHead`` or ``ATSSHead`` needs a ``DeltaXYWHBBoxCoder``.  Both models
    must have the same anchors or points.

    Args:
        weights: What a row counts. 'gap': the largest difference over the
            classes between the probabilities of student and teacher, times
            the weight of the class loss, as in BCKD. 'confidence': the
            teacher's largest probability, 0 where the class loss has the
            weight 0, as in CrossKD.  The student's probabilities are its own,
            crossed or not.
        crossed: Whether the student's boxes are those that the teacher's
            frozen head gives on the *student's* features; see DenseHeadTap.
        reuse: See DenseHeadTap.

    Raises:
        TypeError, ValueError: If an argument is none of these.

    References:
        'gap': Yang et al. Bridging Cross-task Protocol Inconsistency for
        Distillation in Dense Object Detection. ICCV 2023, arXiv 2308.14286.
        'confidence': Wang et al. CrossKD: Cross-Head Knowledge Distillation
        for Object Detection. CVPR 2024, arXiv 2306.11369. Both the released
        code.
    """

    kind = 'corners'
    _branch = BOXES

    def __init__(
        self, weights: str = 'gap', crossed: bool = False, reuse: int = 3
    ) -> None:
        super().__init__(crossed, reuse)
        check_choice('weights', weights, 'gap', 'confidence')
        self.weights = weights

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose boxes the tap cannot read.

        Args:
            role: What to call the model in the message.
            model: A student or teacher, not wrapped.

        Raises:
            TypeError: If it has no dense head of a known kind, or one with a
                softmax or another coder.
        """
        super().refuse(role, model)
        refuse_boxes(role, model, 'DenseBoxTap')

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; the reading then has no rows.

        Returns:
            Corners x1, y1, x2, y2 in pixels of the padded batch, not
            clipped, (M, 4); labels (M,), int64, 1 for a positive and 0 for
            none; weights (M,), in [0, 1] if those of the class loss are. None
            if the student's head did not run.

        Raises:
            RuntimeError: If student and teacher have other maps, or the loss
                of the head did not get each row once.
        """
        found = self._take(teacher)
        if found is None:
            return None
        rows, other = found
        if other is None:
            none = no_rows(rows.maps.boxes, 4)
            return Reading(*none, rows.labels[:0], rows.weights[:0])
        crossed = self._crossed(teacher, rows)
        if crossed is None:
            own = corners(self._student, rows.maps, training=True)
        else:
            own_maps = Maps(crossed, crossed)
            own = corners(self._teacher, own_maps, training=False)
        return Reading(
            own,
            corners(self._teacher, other, training=False),
            self._is_positive(rows).long(),
            self._weights(teacher, rows, other),
        )

    @torch.no_grad()
    def _weights(self, teacher, rows: Rows, other: Maps) -> Tensor:
        if self.weights == 'confidence':
            return self._confidence(teacher, rows, other)
        own, theirs = (
            x.float().sigmoid()
            for x in (self._own_scores(rows), self._scores(teacher, other))
        )
        gap = (own - theirs).abs()
        if teacher.missing is not None:
            gap = gap[:, teacher.known]
        return gap.amax(1) * self._of_known(teacher, rows)
