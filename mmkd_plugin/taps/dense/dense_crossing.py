"""CrossKD for dense heads: the student's features in the teacher's head."""

from collections.abc import Callable, Sequence

import torch
import torch.nn as nn
from torch import Tensor

from ...exceptions import MMKDRuntimeError
from ..listener import Listener
from .dense_towers import TOWERS, OnTower, channel_statistics
from .tower_record import TowerRecord


class Crossing:
    """Holds features of a student's tower for the teacher's head.

    Args:
        student: In training.
        teacher: One that :func:`refuse_crossing` accepts.
        branch: 0 for the tower of the classes, 1 for that of the boxes.
        reuse: How many of its convolutions the student runs.
        refuse: Called with a student whose modules were replaced.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        branch: int,
        reuse: int,
        refuse: Callable[[nn.Module], None],
    ) -> None:
        self._place = branch, reuse
        self._own = TowerRecord(branch, reuse, training=True, keep=torch.clone)
        self._listener = Listener(
            student, self._own.modules, self._own.hooks, refuse
        )
        self._other = TowerRecord(
            branch, reuse, training=False, keep=channel_statistics
        )
        self._handles = list(self._other.hooks(teacher))

    def close(self) -> None:
        """Remove the hooks, and free the last forward."""
        self._listener.close()
        for handle in self._handles:
            handle.remove()
        self.clear()

    def clear(self) -> None:
        """Drop the references to the last forward, to free its graph."""
        self._own.clear()
        self._other.clear()

    def take(self, teacher, scores: Sequence[Tensor]) -> list[Tensor]:
        """The crossed maps of the student's last forward.

        Args:
            teacher (Teacher): Whose head has run on its own maps.
            scores: The maps of classes of that forward.

        Returns:
            A map per level; the teacher gets no gradient, nor does the
            student behind the crossing.

        Raises:
            RuntimeError: If the tower did not run once per level.
        """
        held, statistics = self._own.take(), self._other.take()
        if not len(held) == len(statistics) == len(scores):
            raise MMKDRuntimeError(
                f'The heads gave {len(scores)} levels, but the tower of the '
                f'student ran {len(held)} times and that of the teacher '
                f'{len(statistics)} times: crossing needs heads whose '
                f'`{TOWERS[self._place[0]]}` run once per level; take '
                '`crossed=True` out.'
            )
        ask = OnTower(scores[0], *self._place, statistics)
        return teacher.cross(ask, held)
