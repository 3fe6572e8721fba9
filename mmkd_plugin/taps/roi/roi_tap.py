"""What the taps of a two-stage detector's RoI head share."""

from collections.abc import Callable
from typing import Any

import torch.nn as nn

from ...exceptions import MMKDRuntimeError
from ..reading import Reading, Stage
from .roi_heads import (
    box_heads,
    is_cascade,
    refuse_crossing,
    refuse_roi_head,
    used_of,
)
from .roi_record import RoIRecord, RoIs


class RoITap:
    """Base of the taps that read what box heads say of sampled RoIs.

    Of a cascade as student, all stages are read if the teacher is a cascade
    of equally many, otherwise the first one.

    Args:
        crossed: Whether the teacher's box head runs on the student's maps.
    """

    # Logits, and deltas of a class-specific head, are matched by name.
    per_class = True
    # Number of background logits, after those of the classes.
    background = 1
    # Of each tap: its reading of the RoIs of a stage, with the teacher.
    _read: Callable[[RoIs, Any, int], Reading]

    def __init__(self, crossed: bool) -> None:
        self.crossed = crossed
        # Of each stage that is read.
        self._records: list[RoIRecord] = []
        self._factors: list[float] | None = None
        # Box heads of the student.
        self._count = 1

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the kind of head that this tap reads."""
        return hasattr(model, 'roi_head')

    def num_classes(self, model: nn.Module) -> int:
        """Number of classes of a detector, K."""
        return box_heads(model)[0].head.num_classes

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose RoI head the tap cannot read.

        Args:
            role: 'student' or 'teacher'.
            model: Not wrapped.

        Raises:
            TypeError: If it has no RoI head of a known kind.
        """
        refuse_roi_head(role, model)

    def reads(self, teacher: nn.Module) -> str:
        """What is read of a teacher, for the log.

        Args:
            teacher: Of the student to which the tap is, or was, attached.
        """
        return used_of(teacher, self._count)

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on a student that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: The first teacher.

        Raises:
            TypeError: If the teacher's box head cannot be crossed.
        """
        heads = box_heads(student), box_heads(teacher)
        self._count = len(heads[0])
        stages = self._count if self._count == len(heads[1]) else 1
        pairs = list(zip(*heads))[:stages]
        if self.crossed:
            for pair in pairs:
                refuse_crossing(*pair)
        self._pairs = pairs
        self._factors = None
        if is_cascade(student):
            roi_head: Any = student.roi_head
            self._factors = list(roi_head.stage_loss_weights)
        self._records = [
            RoIRecord(
                student, lambda model: self.refuse('student', model), stage
            )
            for stage in range(stages)
        ]

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        for record in self._records:
            record.close()
        if self._records:
            self._records = []
            del self._pairs

    def take(self, teacher) -> Reading | list[Stage] | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; what the reading has of it is then a
                placeholder.

        Returns:
            Of a cascade, a list with a :class:`.Stage` of each stage that is
            read and whose own losses count. None if the student's box head
            did not run.

        Raises:
            RuntimeError: If a box head ran but its ``loss_cls`` did not, or
                a later stage did not run.
        """
        found = [record.take() for record in self._records]
        if not found or found[0] is None:
            return None
        rois = _fill(found[0], found)
        if self._factors is None:
            return self._read(rois[0], teacher, 0)
        return [
            Stage(f's{stage}', factor, self._read(each, teacher, stage))
            for stage, (each, factor) in enumerate(zip(rois, self._factors))
            if factor
        ]


def _fill(last: RoIs, found: list[RoIs | None]) -> list[RoIs]:
    """The RoIs of all stages, none for those after a stage without RoIs.

    MMDetection ends a cascade there.  Every process must compute equally many
    terms, or those of others that gather rows would wait.
    """
    filled = []
    for stage, rois in enumerate(found):
        if rois is None and len(last.logits):
            raise MMKDRuntimeError(
                f'The box head of stage {stage} of the student did not run, '
                f'although that of stage {stage - 1} classified '
                f'{len(last.logits)} RoIs: use a CascadeRoIHead, which runs '
                'all of its stages.'
            )
        last = last if rois is None else rois
        filled.append(last)
    return filled
