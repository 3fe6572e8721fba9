"""The class logits of the queries of Deformable DETR and DINO.

R rows: a query of an image in a decoder layer each; C classes.
"""

import torch
from mmengine.registry import TASK_UTILS

from ..reading import Reading
from .detr_tap import DETRTap


@TASK_UTILS.register_module()
class DETRHeadTap(DETRTap):
    """Read the class logits of the queries of student and teacher.

    Of all decoder layers; every row counts, and a mean over the rows is that
    over the layers too.  Works with MMDetection's ``DeformableDETR`` and
    ``DINO``; DINO's queries of noised boxes are left out.

    Args:
        crossed: See :class:`~mmkd_plugin.taps.detr.detr_tap.DETRTap`; True for
            CrossKD, False for DETRDistill.

    Raises:
        TypeError: If ``crossed`` is not True or False.

    References:
        Wang, Chen, Zheng, Li, Cheng, Hou. CrossKD: Cross-Head Knowledge
        Distillation for Object Detection. CVPR 2024, arXiv 2306.11369; for
        Deformable DETR, the configs ``teaquery`` of the branch
        ``deformable-detr`` of the authors' repository.  Chang, Wang, Xu,
        Chen, Yang, Zhao. DETRDistill: A Universal Knowledge Distillation
        Framework for DETR-families. ICCV 2023, arXiv 2211.10156.
    """

    kind = 'sigmoid'

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its logits in the reading are then a
                placeholder.

        Returns:
            Logits (R, C); as labels, (R,), the teacher's most probable class,
            because a query has no ground truth of its own; weights (R,), 1.
            None if the student did not run.

        Raises:
            RuntimeError: If student and teacher have levels of other sizes.
        """
        pairs = self.pairs(teacher)
        if pairs is None:
            return None
        other = pairs.other.logits
        weights = torch.ones_like(pairs.weights)
        return Reading(pairs.own.logits, other, other.argmax(1), weights)
