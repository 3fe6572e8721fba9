"""The classification logits of a two-stage detector's RoI head.

N RoIs sampled over the batch, K classes, C = K + 1 logits with the background
last.
"""

from operator import attrgetter

import torch
from mmengine.registry import TASK_UTILS

from ...arguments import check_switch, check_weight
from ..reading import Reading
from .roi_record import RoIs
from .roi_tap import RoITap


@TASK_UTILS.register_module()
class RoIHeadTap(RoITap):
    """Read the training logits of an RoI head, and those of the teacher.

    The student's RoI head samples its RoIs as usual; the teacher's box head
    then runs on *those* RoIs, so row i of both logits belongs to the same
    box.  The teacher's RPN, assigner and sampler never run.

    Works with MMDetection's ``StandardRoIHead`` and its subclasses that
    classify every sampled RoI once, trained by softmax cross entropy (Faster
    and Mask R-CNN, Double-Head, PISA, Dynamic, Grid and Libra R-CNN).
    A cascade as student is read stage by stage, if the teacher is a cascade
    of equally many stages: the teacher's box head of a stage runs on the RoIs
    of that stage, and the term is the sum over the stages, each times its
    ``stage_loss_weights``, as the student's own losses are.  Otherwise the
    first box heads are read: their IoU thresholds are alike.

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

    def __init__(
        self, background_weight: float = 1.0, crossed: bool = False
    ) -> None:
        check_weight(background_weight=background_weight)
        check_switch(crossed=crossed)
        self.background_weight = background_weight
        super().__init__(crossed)

    def _read(self, rois: RoIs, teacher, stage: int) -> Reading:
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
