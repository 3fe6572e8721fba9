"""What the taps of a two-stage detector's RoI head share."""

import torch.nn as nn

from .roi_heads import box_head, refuse_crossing, refuse_roi_head, used_of
from .roi_record import RoIRecord


class RoITap:
    """Base of the taps that read what a box head says of sampled RoIs.

    Args:
        crossed: Whether the teacher's box head runs on the student's maps.
    """

    # Logits, and deltas of a class-specific head, are matched by name.
    per_class = True
    # Number of background logits, after those of the classes.
    background = 1

    def __init__(self, crossed: bool) -> None:
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
        self._student = box_head(student).head
        self._teacher = box_head(teacher).head
        self._record = RoIRecord(
            student, lambda model: self.refuse('student', model)
        )

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        if self._record is not None:
            self._record.close()
            self._record = None
            del self._student, self._teacher
