"""The boxes of a two-stage detector's RoI head, as deltas.

N RoIs sampled over the batch, P of them foreground, K classes. A delta is the
coder's (dx, dy, dw, dh), in units of its standard deviations.
"""

from typing import Any

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor

from ...arguments import check_choice, check_switch
from ..coding import recode, refuse_coder
from ..reading import Reading
from .roi_heads import Outputs, box_heads
from .roi_record import RoIs
from .roi_tap import RoITap


@TASK_UTILS.register_module()
class RoIBoxTap(RoITap):
    """Read the box deltas of an RoI head, and those of the teacher.

    Both are those of the student's sampled RoIs, one delta per RoI, in the
    coding of the student.  A class-specific head gives the delta of one
    class.

    Works with the heads that
    :class:`~mmkd_plugin.taps.roi.roi_head_tap.RoIHeadTap` reads, if their
    coder is a ``DeltaXYWHBBoxCoder``.

    Args:
        rows: Which RoIs count, and the class of their delta.  'label': the
            foreground RoIs of the student, and their label.  'teacher': those
            of which the teacher says foreground, and its class.
            'confidence': all, weighted by the teacher's largest foreground
            probability, and its class.
        crossed: Whether the student's deltas are those that the teacher's
            frozen box head gives on the *student's* maps, as in CrossKD.

    Raises:
        TypeError, ValueError: If an argument is none of these.

    References:
        'teacher': ALDI (Kay et al., Align and Distill, TMLR 2025). 'label':
        Chen et al., Learning Efficient Object Detection Models with Knowledge
        Distillation, NIPS 2017, Section 3.3. 'confidence': CrossKD, the
        branch ``faster-rcnn`` of the authors' repository.
    """

    kind = 'boxes'
    # The student's own loss of the same deltas.
    task = 'loss_bbox'

    def __init__(self, rows: str = 'teacher', crossed: bool = False) -> None:
        check_choice('rows', rows, 'label', 'teacher', 'confidence')
        check_switch(crossed=crossed)
        self.rows = rows
        super().__init__(crossed)

    def shared(self, student: nn.Module) -> list[str]:
        """Paths of the modules whose deltas the term and the task use."""
        heads = [head for _, head in box_heads(student)]
        return [
            name for name, module in student.named_modules() if module in heads
        ]

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose boxes the tap cannot read.

        Args:
            role: What to call the model in the message.
            model: A student or teacher, not wrapped.

        Raises:
            TypeError: If it has no RoI head of a known kind, or one without
                boxes or with another coder.
        """
        super().refuse(role, model)
        for _, head in box_heads(model):
            refuse_coder(role, model, head, 'RoIBoxTap', 'Shared2FCBBoxHead')

    def _read(self, rois: RoIs, teacher, stage: int) -> Reading:
        """The reading of a stage.

        Returns:
            Deltas (N, 4); as labels, those of the ground truth (N, 4), only
            with ``rows='label'``, 0 for background; weights (N,), 0 too for
            classes that the teacher lacks.
        """
        deltas: Any = rois.deltas  # a head without is refused
        if teacher is None or not len(rois.logits):
            none = deltas[:, :4]
            return Reading(none, none.detach(), None, none.detach()[:, 0] * 0)
        answer = teacher.answer(rois.ask)
        classes, weights = self._rows(rois, teacher.reorder(answer.logits))
        positive = weights > 0
        if teacher.missing is not None:
            weights = weights.masked_fill(teacher.missing[classes], 0)
        other = self._of_teacher(answer, classes, teacher.columns, stage)
        if self.crossed:
            crossed = teacher.cross(rois.ask, rois.maps)
            own = self._of_teacher(crossed, classes, teacher.columns, stage)
        else:
            own = _pick(deltas, classes)
        targets = None
        head = self._pairs[stage][0].head
        if self.rows == 'label' and not head.reg_decoded_bbox:
            targets = torch.zeros_like(own.detach())
            if rois.targets is not None:
                targets[positive] = rois.targets.to(targets.dtype)
        return Reading(own, other, targets, weights)

    def _rows(self, rois: RoIs, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Class, in the student's order, and weight of each RoI."""
        last = logits.shape[1] - 2
        if self.rows == 'confidence':
            confidence, classes = logits.float().softmax(1)[:, :-1].max(1)
            return classes, confidence
        classes = rois.labels
        if self.rows == 'teacher':
            classes = logits.argmax(1)
        weights = (classes >= 0) & (classes <= last)
        return classes.clamp(0, last), weights.to(logits.dtype)

    def _of_teacher(
        self,
        found: Outputs,
        classes: Tensor,
        columns: Tensor | None,
        stage: int,
    ) -> Tensor:
        """Deltas of the teacher's head, in the coding of the student."""
        if columns is not None:
            classes = columns[classes]
        own, other = (pair.head.bbox_coder for pair in self._pairs[stage])
        return recode(_pick(found.deltas, classes), other, own)


def _pick(deltas: Tensor, classes: Tensor) -> Tensor:
    """The delta of a class of each RoI, (N, 4)."""
    boxes = deltas.view(len(deltas), -1, 4)
    if boxes.shape[1] == 1:  # class-agnostic
        return boxes[:, 0]
    return boxes[torch.arange(len(boxes), device=boxes.device), classes]
