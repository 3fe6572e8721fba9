"""The RPN of a two-stage detector: objectness, and deltas of the anchors.

N anchors, sampled over the batch and the levels; P of them are positive.
"""

import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor

from ..anchors import as_rows, refuse_anchors, refuse_other_maps
from ..coding import recode, refuse_coder
from ..reading import Reading
from .rpn_heads import Maps, refuse_rpn, rpn_maps
from .rpn_record import Anchors, RPNRecord


class _RPNTap:
    """What both taps of an RPN share."""

    # Objectness and deltas belong to no class.
    per_class = False

    def __init__(self) -> None:
        self._record: RPNRecord | None = None

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the kind of head that this tap reads."""
        return hasattr(model, 'rpn_head')

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose RPN the tap cannot read.

        Args:
            role: What to call the model in the message.
            model: A student or teacher, not wrapped.

        Raises:
            TypeError: If it has no RPN of a known kind.
        """
        refuse_rpn(role, model, type(self).__name__)

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on a student that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: The teacher.

        Raises:
            TypeError: If the teacher has other anchors.
        """
        self._student, self._teacher = student.rpn_head, teacher.rpn_head
        refuse_anchors(
            self._student.prior_generator,
            self._teacher.prior_generator,
            'an RPN',
            'RPN',
        )
        self._record = RPNRecord(
            student, lambda model: self.refuse('student', model)
        )

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        if self._record is not None:
            self._record.close()
            self._record = None
            del self._student, self._teacher

    def _take(self, teacher) -> tuple[Anchors, Maps] | None:
        """The student's last forward, and what the teacher says of it."""
        name = type(self).__name__
        anchors = self._record.take(name) if self._record else None
        if anchors is None:
            return None
        own = anchors.maps
        if teacher is None:
            return anchors, Maps(*([x.detach() for x in part] for part in own))
        other = teacher.answer(rpn_maps)
        refuse_other_maps(
            [tuple(x.shape) for x in own.objectness],
            [tuple(x.shape) for x in other.objectness],
            'RPN',
            name,
        )
        return anchors, other


@TASK_UTILS.register_module()
class RPNHeadTap(_RPNTap):
    """Read the objectness of an RPN, and that of the teacher.

    The student samples its anchors as usual; the teacher's RPN runs on the
    teacher's own maps, and gives its logits of *those* anchors.  Anchors that
    are ignored or not sampled are left out.

    Works with MMDetection's ``RPNHead`` trained by a sigmoid; the anchors of
    both models must be the same.

    References:
        Kay et al. Align and Distill: Unifying and Improving Domain Adaptive
        Object Detection. TMLR 2025, arXiv 2403.12029, the released code.
    """

    kind = 'sigmoid'

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its logits in the reading are then a
                placeholder.

        Returns:
            Logits (N, 1); labels (N,), 0 for an object and 1 for background,
            as MMDetection counts; weights (N,). None if the student's RPN did
            not run.

        Raises:
            RuntimeError: If student and teacher have other maps, or the
                losses of the RPN did not get each anchor once.
        """
        found = self._take(teacher)
        if found is None:
            return None
        anchors, other = found
        own, theirs = (
            as_rows(maps.objectness, 1)[anchors.rows]
            for maps in (anchors.maps, other)
        )
        return Reading(own, theirs, anchors.labels, anchors.weights)


@TASK_UTILS.register_module()
class RPNBoxTap(_RPNTap):
    """Read the deltas that an RPN gives its anchors, and the teacher's.

    A row per sampled anchor, in the coding of the student; only the positive
    ones count.  This way a loss that divides by N divides by what
    MMDetection divides the ``loss_bbox`` of an RPN by, and an image of few
    objects is not as loud as one of many.

    Works with the heads that :class:`RPNHeadTap` reads, if their coder is a
    ``DeltaXYWHBBoxCoder``.
    """

    kind = 'boxes'

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose deltas the tap cannot read.

        Args:
            role: What to call the model in the message.
            model: A student or teacher, not wrapped.

        Raises:
            TypeError: If it has no RPN of a known kind, or another coder.
        """
        super().refuse(role, model)
        refuse_coder(role, model, model.rpn_head, 'RPNBoxTap', 'RPNHead')

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its deltas in the reading are then a
                placeholder.

        Returns:
            Deltas (N, 4); as labels, those of the ground truth (N, 4), or
            None for an RPN that is trained on decoded boxes; weights (N,), 0
            for background. None if the student's RPN did not run.

        Raises:
            RuntimeError: If student and teacher have other maps, or the
                losses of the RPN did not get each anchor once.
        """
        found = self._take(teacher)
        if found is None:
            return None
        anchors, other = found
        own, theirs = (
            as_rows(maps.deltas, 4)[anchors.rows]
            for maps in (anchors.maps, other)
        )
        theirs = recode(
            theirs, self._teacher.bbox_coder, self._student.bbox_coder
        )
        targets: Tensor | None = anchors.targets
        if self._student.reg_decoded_bbox:
            targets = None
        return Reading(own, theirs, targets, anchors.box_weights)
