"""The classification logits of a two-stage detector's RoI head.

N RoIs sampled over the batch, K classes, C = K + 1 logits with the background
last.
"""

from operator import attrgetter

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS

from ..arguments import check_switch, check_weight
from .reading import Reading
from .roi_heads import box_head, refuse_crossing, refuse_roi_head, used_of
from .roi_record import RoIRecord


@TASK_UTILS.register_module()
class RoIHeadTap:
    """Read the training logits of an RoI head, and those of the teacher.

    The student's RoI head samples its RoIs as usual; the teacher's box head
    then runs on *those* RoIs, so row i of both logits belongs to the same
    box.  The teacher's RPN, assigner and sampler never run.

    Works with MMDetection's ``StandardRoIHead`` and its subclasses that
    classify every sampled RoI once, trained by softmax cross entropy (Faster
    and Mask R-CNN, Double-Head, PISA, Dynamic, Grid and Libra R-CNN).
    A teacher may also be a cascade, of which the first box head is read: its
    IoU threshold is the student's.

    Args:
        background_weight: Factor of the weights of background RoIs in the
            distillation terms, >= 0. With 0 only foreground RoIs are
            distilled: background RoIs are then no negatives of CKD either,
            and do not count in ``kd_agreement`` and ``kd_teacher_acc``.
        crossed: Whether the student's logits are those that the teacher's
            frozen box head gives on the *student's* maps, as in CrossKD.
            Neck and backbone are then trained by the terms, and the student's
            own box head is not.

    Raises:
        TypeError: If ``crossed`` is not True or False.
        ValueError: If ``background_weight`` is no number, negative or huge.

    References:
        Wang, Chen, Zheng, Li, Cheng, Hou. CrossKD: Cross-Head Knowledge
        Distillation for Object Detection. CVPR 2024, arXiv 2306.11369; for
        RoI heads, the branch ``faster-rcnn`` of the authors' repository.
    """

    kind = 'logits'
    # Columns of the logits are classes, which are matched by name.
    per_class = True
    # Number of background logits, after those of the classes.
    background = 1

    def __init__(
        self, background_weight: float = 1.0, crossed: bool = False
    ) -> None:
        check_weight(background_weight=background_weight)
        check_switch(crossed=crossed)
        self.background_weight = background_weight
        self.crossed = crossed
        self._record: RoIRecord | None = None

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the kind of head that this tap reads."""
        return hasattr(model, 'roi_head')

    def num_classes(self, model: nn.Module) -> int:
        """Number of classes of a detector, K."""
        return box_head(model).head.num_classes

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose RoI head the tap cannot read.

        Args:
            role: What to call the model in the message.
            model: A student or teacher, not wrapped.

        Raises:
            TypeError: If it has no RoI head of a known kind.
        """
        refuse_roi_head(role, model)

    def reads(self, teacher: nn.Module) -> str:
        """What is read of a teacher, for the log."""
        return used_of(teacher)

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on a student that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: The first teacher.

        Raises:
            TypeError: If the teacher's box head cannot be crossed.
        """
        if self.crossed:
            refuse_crossing(student, teacher)
        self._record = RoIRecord(
            student, lambda model: self.refuse('student', model)
        )

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        if self._record is not None:
            self._record.close()
            self._record = None

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its logits in the reading are then a
                placeholder.

        Returns:
            None if the student's box head did not run.

        Raises:
            RuntimeError: If the box head ran but its ``loss_cls`` did not.
        """
        rois = self._record.take() if self._record else None
        if rois is None:
            return None
        student, labels, weights = rois.logits, rois.labels, rois.weights
        if self.background_weight != 1:
            is_background = labels == student.shape[1] - 1
            weights = torch.where(
                is_background, self.background_weight * weights, weights
            )
        other = student.detach()
        if teacher is not None and len(student):
            other = teacher.logits(rois.ask, attrgetter('logits'))
            if self.crossed:
                crossed = teacher.cross(rois.ask, rois.maps)
                student = teacher.reorder(crossed.logits)
        return Reading(student, other, labels, weights)
