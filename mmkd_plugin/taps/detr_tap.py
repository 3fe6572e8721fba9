"""The queries of Deformable DETR and DINO: classes and boxes.

R rows: a query of an image in a decoder layer each; C classes.
"""

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor

from ..arguments import check_switch
from .boxes import corners
from .detr_models import refuse_detr, refuse_pair
from .detr_pairs import Pairs, crossed_pairs, matched_pairs, own_pairs
from .detr_record import DETRRecord
from .reading import Reading


class _DETRTap:
    """What the taps of the queries share.

    Args:
        crossed: Which predictions are paired.  True: those that the
            teacher's frozen decoder gives on the *student's* encoded maps,
            with those on its own maps, as in CrossKD; queries and reference
            points are the teacher's, and the student's decoder gets no
            gradient.  False: those of the student, with those of the teacher
            that fit best one to one, as in DETRDistill.

    Raises:
        TypeError: If ``crossed`` is not True or False.
    """

    # Columns of the logits are classes, which are matched by name.
    per_class = True
    # Number of background logits, after those of the classes.
    background = 0

    def __init__(self, crossed: bool = False) -> None:
        check_switch(crossed=crossed)
        self.crossed = crossed
        self._record: DETRRecord | None = None

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the kind of decoder that this tap reads."""
        kinds = {kind.__name__ for kind in type(model).__mro__}
        return 'DeformableDETR' in kinds

    def num_classes(self, model: nn.Module) -> int:
        """Number of classes of a detector, C."""
        return model.bbox_head.num_classes  # type: ignore[union-attr]

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose decoder the tap cannot read.

        Args:
            role: What to call the model in the message.
            model: A student or teacher, not wrapped.

        Raises:
            TypeError: If it is no Deformable DETR or DINO with a sigmoid per
                class.
        """
        refuse_detr(role, model, type(self).__name__)

    def reads(self, teacher: nn.Module) -> str:
        """What is read of a teacher, for the log."""
        return f'the {teacher.decoder.num_layers} layers of its decoder'  # type: ignore[union-attr]

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on a student that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: The teacher.

        Raises:
            TypeError: If the teacher has other levels or another padding; or
                other channels, if crossed, or another number of decoder
                layers, if not.
        """
        other = 'embed_dims' if self.crossed else 'decoder.num_layers'
        refuse_pair(student, teacher, type(self).__name__, other)
        self._record = DETRRecord(
            student, lambda model: self.refuse('student', model)
        )

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        if self._record is not None:
            self._record.close()
            self._record = None

    def _take(self, teacher) -> Pairs | None:
        """The student's last forward, and what the teacher says of it."""
        seen = self._record.take() if self._record else None
        if seen is None:
            return None
        if teacher is None:
            return own_pairs(seen)
        pair = crossed_pairs if self.crossed else matched_pairs
        return pair(seen, teacher, type(self).__name__)


@TASK_UTILS.register_module()
class DETRHeadTap(_DETRTap):
    """Read the class logits of the queries of student and teacher.

    Of all decoder layers; every row counts, and a mean over the rows is that
    over the layers too.  Works with MMDetection's ``DeformableDETR`` and
    ``DINO``; DINO's queries of noised boxes are left out.

    Args:
        crossed: See :class:`_DETRTap`: True for CrossKD, False for
            DETRDistill.

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
        pairs = self._take(teacher)
        if pairs is None:
            return None
        other = pairs.other.logits
        weights = torch.ones_like(pairs.weights)
        return Reading(pairs.own.logits, other, other.argmax(1), weights)


@TASK_UTILS.register_module()
class DETRBoxTap(_DETRTap):
    """Read the boxes of the queries of student and teacher, for an L1 loss.

    Args:
        crossed: See :class:`_DETRTap`.
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
        pairs = self._take(teacher)
        if pairs is None:
            return None
        own, other = pairs.own.boxes, pairs.other.boxes
        if self.pixels:
            own, other = _in_pixels(pairs)
        return Reading(own, other, None, pairs.weights)


@TASK_UTILS.register_module()
class DETRCornerTap(_DETRTap):
    """Read the boxes of the queries of student and teacher, for an IoU loss.

    Args:
        crossed: See :class:`_DETRTap`.

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
        pairs = self._take(teacher)
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
