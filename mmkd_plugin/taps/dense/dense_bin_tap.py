"""The bins of the distances that a GFL head predicts.

M rows (points) over the batch and the levels, N of them read; R + 1 bins.
"""

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS

from ...arguments import check_choice
from ..anchors import as_rows
from ..reading import Reading
from .dense_heads import refuse_bins
from .dense_tap import DenseTap, no_rows
from .dense_towers import BOXES


@TASK_UTILS.register_module()
class DenseBinTap(DenseTap):
    """Read the distance bins of a GFL head, and those of the teacher.

    Works with MMDetection's ``GFLHead`` and ``LDHead``; both models must have
    the same anchors and bins.

    Args:
        rows: Which rows count. 'positive': the positives, weighted by the
            student's own largest probability, as in LD's main region.
            'confidence': all, weighted by the teacher's largest probability,
            0 where the class loss has the weight 0, as in CrossKD.  LD's
            second region, which needs the distances between anchors and
            ground truth, is left out.
        crossed: Whether the student's bins are those that the teacher's
            frozen head gives on the *student's* features; see DenseHeadTap.
        reuse: See DenseHeadTap.

    Raises:
        TypeError, ValueError: If an argument is none of these.

    References:
        'positive': Zheng et al. Localization Distillation for Dense Object
        Detection. CVPR 2022, arXiv 2102.12252. 'confidence': Wang et al.
        CrossKD: Cross-Head Knowledge Distillation for Object Detection. CVPR
        2024, arXiv 2306.11369. Both the released code.
    """

    kind = 'bins'
    _branch = BOXES

    def __init__(
        self, rows: str = 'positive', crossed: bool = False, reuse: int = 3
    ) -> None:
        super().__init__(crossed, reuse)
        check_choice('rows', rows, 'positive', 'confidence')
        self.rows = rows

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on a student that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: The teacher.

        Raises:
            TypeError: If one of them has no bins, or they differ.
        """
        refuse_bins(student, teacher, 'DenseBinTap')
        super().attach(student, teacher)

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; the reading then has no rows.

        Returns:
            Logits of the bins, (N, 4, R + 1), of left, top, right and bottom;
            labels (N,), int64, 1 for a positive and 0 for none; weights
            (N,), in [0, 1]. None if the student's head did not run.

        Raises:
            RuntimeError: If student and teacher have other maps, or the loss
                of the head did not get each row once.
        """
        found = self._take(teacher)
        if found is None:
            return None
        rows, other = found
        bins = 4, self._student.reg_max + 1
        if other is None:
            none = no_rows(rows.maps.boxes, *bins)
            return Reading(*none, rows.labels[:0], rows.weights[:0])
        positive = self._is_positive(rows)
        crossed = self._crossed(teacher, rows)
        maps = rows.maps.boxes if crossed is None else crossed
        own, theirs = (
            as_rows(x, bins[0] * bins[1]) for x in (maps, other.boxes)
        )
        if self.rows == 'positive':
            counts = self._of_known(teacher, rows) > 0
            chosen = (positive & counts).nonzero()[:, 0]
            own, theirs = own[chosen], theirs[chosen]
            positive = positive[chosen]
            with torch.no_grad():
                scores = self._own_scores(rows)[chosen].float()
                weights = scores.amax(1).sigmoid()
        else:
            weights = self._confidence(teacher, rows, other)
        return Reading(
            own.unflatten(1, bins),
            theirs.unflatten(1, bins),
            positive.long(),
            weights,
        )
