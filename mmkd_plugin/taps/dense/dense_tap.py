"""What the taps of dense heads share.

M rows (anchors or points) over the batch and the levels, C classes.
"""

from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ...arguments import check_integer, check_switch
from ..anchors import as_rows, refuse_other_maps
from .dense_crossing import Crossing
from .dense_heads import (
    Maps,
    dense_maps,
    is_dense,
    refuse_dense,
    refuse_places,
)
from .dense_record import DenseRecord, Rows
from .dense_towers import refuse_crossing


class DenseTap:
    """What the taps of dense heads share.

    Args:
        crossed: Whether the student's part is what the teacher's frozen head
            gives on the *student's* features, as in CrossKD.
        reuse: With ``crossed``, how many of the convolutions in its tower
            the student runs before the teacher's take over; 0: none.

    Raises:
        TypeError, ValueError: If an argument is none of these.
    """

    # Classes are matched by name.
    per_class = True
    # Number of background logits, after those of the classes.
    background = 0
    # The tower that is crossed, and whether boxes are compared.
    _branch = 0

    def __init__(self, crossed: bool = False, reuse: int = 3) -> None:
        check_switch(crossed=crossed)
        check_integer('reuse', reuse)
        self.crossed = crossed
        self.reuse = reuse
        self._record: DenseRecord | None = None
        self._crossing: Crossing | None = None

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the kind of head that this tap reads."""
        return is_dense(model)

    def num_classes(self, model: nn.Module) -> int:
        """Number of classes of a detector, C."""
        return model.bbox_head.num_classes

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose dense head the tap cannot read.

        Args:
            role: What to call the model in the message.
            model: A student or teacher, not wrapped.

        Raises:
            TypeError: If it has no dense head of a known kind, or one with a
                softmax.
        """
        refuse_dense(role, model, type(self).__name__)

    def reads(self, teacher: nn.Module) -> str:
        """What is read of a teacher, for the log."""
        return f'its {type(teacher.bbox_head).__name__}'

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on a student that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: The teacher.

        Raises:
            TypeError: If the rows of the teacher are not those of the
                student, or its head cannot be crossed.
            ValueError: If ``reuse`` is more than the towers have.
        """
        name = type(self).__name__
        refuse_places(student, teacher, name, boxes=bool(self._branch))
        self._student, self._teacher = student.bbox_head, teacher.bbox_head

        def refuse(model: nn.Module) -> None:
            self.refuse('student', model)

        if self.crossed:
            place = self._branch, self.reuse
            refuse_crossing(student, teacher, *place)
            self._crossing = Crossing(student, teacher, *place, refuse)
        self._record = DenseRecord(student, refuse)

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        if self._record is not None:
            self._record.close()
            self._record = None
            del self._student, self._teacher
        if self._crossing is not None:
            self._crossing.close()
            self._crossing = None

    def _take(self, teacher) -> tuple[Rows, Maps | None] | None:
        """The student's last forward, and what the teacher says of it."""
        name = type(self).__name__
        rows = self._record.take(name) if self._record else None
        if teacher is None and self._crossing is not None:
            self._crossing.clear()
        if rows is None or teacher is None:
            return None if rows is None else (rows, None)
        other = teacher.answer(dense_maps)
        refuse_other_maps(
            _places(rows.maps), _places(other), 'dense head', name
        )
        return rows, other

    def _crossed(self, teacher, rows: Rows) -> Any:
        """The crossed maps of the tower; None without crossing."""
        if self._crossing is None:
            return None
        return self._crossing.take(teacher, rows.maps.scores)

    def _scores(self, teacher, maps: Maps) -> Tensor:
        """The teacher's logits in the order of the student's classes."""
        return teacher.reorder(as_rows(maps.scores, self._teacher.num_classes))

    def _own_scores(self, rows: Rows) -> Tensor:
        """The student's logits, (M, C)."""
        return as_rows(rows.maps.scores, self._student.num_classes)

    @torch.no_grad()
    def _of_known(self, teacher, rows: Rows) -> Tensor:
        """The weights; 0 for a positive of a class the teacher lacks, (M,)."""
        if teacher.missing is None:
            return rows.weights
        lacks = teacher.missing[
            rows.labels.clamp(max=len(teacher.missing) - 1)
        ]
        return rows.weights.masked_fill(lacks & self._is_positive(rows), 0)

    def _is_positive(self, rows: Rows) -> Tensor:
        """Whether a row was assigned to an object, (M,)."""
        return (rows.labels >= 0) & (rows.labels < self._student.num_classes)

    @torch.no_grad()
    def _confidence(self, teacher, rows: Rows, maps: Maps) -> Tensor:
        """The teacher's largest probability; 0 where no row counts, (M,)."""
        scores = self._scores(teacher, maps).float().amax(1).sigmoid()
        return scores.masked_fill(self._of_known(teacher, rows) == 0, 0)


def no_rows(maps: list[Tensor], *shape: int) -> tuple[Tensor, Tensor]:
    """A placeholder of no rows for both, the first attached to the maps."""
    none = torch.cat([level[:0].flatten() for level in maps]).view(0, *shape)
    return none, none.detach()


def _places(maps: Maps) -> list[tuple]:
    """Images, height and width of each level."""
    return [(len(x), *x.shape[-2:]) for x in maps.scores]
