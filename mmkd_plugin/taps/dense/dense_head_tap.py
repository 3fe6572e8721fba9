"""The class logits of a dense head: a sigmoid per class at every place.

M rows (anchors or points) over the batch and the levels, N of them read; C
classes.
"""

from mmengine.registry import TASK_UTILS

from ...arguments import check_choice
from ..anchors import as_rows
from ..reading import Reading
from .dense_tap import DenseTap, no_rows
from .dense_towers import CLASSES


@TASK_UTILS.register_module()
class DenseHeadTap(DenseTap):
    """Read the class logits of a dense head, and those of the teacher.

    The teacher's head runs on the teacher's own maps; the student's labels
    tell which rows are positive.

    Works with MMDetection's ``RetinaHead``, ``FCOSHead``, ``ATSSHead``,
    ``GFLHead``, ``LDHead``, ``RTMDetHead`` and ``RTMDetSepBNHead``, and
    subclasses that label their rows in the same way; both models must have
    the same strides and, where there are several per place, the same anchors.

    Args:
        rows: Which anchors or points are rows. 'all': every one of every
            level. 'positive': those that were assigned to an object, for a
            loss that compares rows with each other, as CKDLoss does: the
            thousands of others are nearly one point.
        crossed: Whether the student's logits are those that the teacher's
            frozen head gives on the *student's* features, as in CrossKD.
            They train the student up to the crossing.  For ``RetinaHead``,
            ``FCOSHead``, ``ATSSHead`` and ``GFLHead``; the centerness of
            ``FCOSHead`` and ``ATSSHead`` is not distilled.
        reuse: With ``crossed``, how many of the convolutions in its tower
            the student runs before the teacher's take over; 0: none.  The
            authors of CrossKD run 3 of 4, and 2 for FCOS.

    Raises:
        TypeError, ValueError: If an argument is none of these.

    References:
        Not crossed: Yang et al. Bridging Cross-task Protocol Inconsistency
        for Distillation in Dense Object Detection. ICCV 2023, arXiv
        2308.14286, the released code. Crossed: Wang et al. CrossKD:
        Cross-Head Knowledge Distillation for Object Detection. CVPR 2024,
        arXiv 2306.11369, the released code.
    """

    kind = 'sigmoid'
    _branch = CLASSES

    def __init__(
        self, rows: str = 'all', crossed: bool = False, reuse: int = 3
    ) -> None:
        super().__init__(crossed, reuse)
        check_choice('rows', rows, 'all', 'positive')
        self.rows = rows

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; the reading then has no rows.

        Returns:
            Logits (N, C); labels (N,), int64, C for none; weights (N,), 0
            where a row is ignored or outside of its image; N = M unless only
            the positives are rows. None if the student's head did not run.

        Raises:
            RuntimeError: If student and teacher have other maps, or the loss
                of the head did not get each row once.
        """
        found = self._take(teacher)
        if found is None:
            return None
        rows, other = found
        if other is None:
            none = no_rows(rows.maps.scores, self._student.num_classes)
            return Reading(*none, rows.labels[:0], rows.weights[:0])
        own = self._own_scores(rows)
        crossed = self._crossed(teacher, rows)
        if crossed is not None:
            own = teacher.reorder(as_rows(crossed, self._teacher.num_classes))
        parts = own, self._scores(teacher, other), rows.labels, rows.weights
        if self.rows == 'all':
            return Reading(*parts)
        chosen = (self._is_positive(rows) & (rows.weights > 0)).nonzero()[:, 0]
        return Reading(*(part[chosen] for part in parts))
