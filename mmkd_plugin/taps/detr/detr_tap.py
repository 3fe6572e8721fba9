"""What the taps of the queries of Deformable DETR and DINO share."""

import torch.nn as nn

from ...arguments import check_switch
from .detr_models import refuse_detr, refuse_pair
from .detr_pairs import Pairs, crossed_pairs, matched_pairs, own_pairs
from .detr_record import DETRRecord


class DETRTap:
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

    def pairs(self, teacher) -> Pairs | None:
        """The student's last forward, and what the teacher says of it."""
        seen = self._record.take() if self._record else None
        if seen is None:
            return None
        if teacher is None:
            return own_pairs(seen)
        pair = crossed_pairs if self.crossed else matched_pairs
        return pair(seen, teacher, type(self).__name__)
