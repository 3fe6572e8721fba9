"""Feature maps before a ReLU, as OFD compares them."""

from collections.abc import Sequence

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ...arguments import check_switch
from ..reading import Reading
from .batch_statistics import use_batch_statistics
from .feature_tap import FeatureTap
from .margins import margins_at
from .stage_paths import PREACTIVATIONS, places


@TASK_UTILS.register_module()
class OFDTap:
    """Read maps before their last ReLU, those of the teacher from margins on.

    What is below the margin of its channel, see
    :func:`~mmkd_plugin.taps.maps.margins.margins`, is raised to it.  The
    larger of two maps is pooled to the size of the smaller.

    Args:
        modules: As of :class:`~mmkd_plugin.taps.maps.feature_tap.FeatureTap`.
        teacher_modules: The same of the teacher; None: as the student's.
            Each with a batch norm before its ReLU.
        batch_statistics: Whether the batch norms of the teacher take the
            statistics of the batch, as in OFD's authors' code, which lets the
            teacher in training mode.  Its running statistics stay as they
            are.  Other losses of the same hook then see that teacher too.

    Raises:
        TypeError, ValueError: If an argument has the wrong type or value.
    """

    kind = 'margins'
    per_class = False
    # The teacher's images may be of another size than the student's.
    any_size = True
    # Folded into a convolution, a batch norm has no margin.
    intact = True

    def __init__(
        self,
        modules: str | Sequence[str] = PREACTIVATIONS,
        teacher_modules: str | Sequence[str] | None = None,
        batch_statistics: bool = True,
    ) -> None:
        check_switch(batch_statistics=batch_statistics)
        self._maps = FeatureTap(modules, teacher_modules, resize='pool')
        self.modules = self._maps.modules
        self.teacher_modules = self._maps.teacher_modules
        self.batch_statistics = batch_statistics
        self._margins: list[Tensor] = []
        self._handles: list[RemovableHandle] = []

    def shared(self, student: nn.Module) -> tuple[str, ...]:
        """Places in a student whose maps the term and the task use."""
        return self._maps.shared(student)

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the modules that this tap reads."""
        return self._maps.fits(model)

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model without the modules, or a teacher without margins.

        Args:
            role: 'student' or 'teacher'.
            model: Not wrapped.

        Raises:
            TypeError: If it lacks one.
        """
        self._maps.refuse(role, model)
        if role == 'teacher':
            self._margins_of(model)

    def reads(self, teacher: nn.Module) -> str:
        """What is read of a teacher, for the log."""
        return self._maps.reads(teacher)

    def channels(
        self, student: nn.Module, teacher: nn.Module, side: int
    ) -> tuple[list[int], list[int]]:
        """Measure the channels of the maps, as FeatureTap does."""
        return self._maps.channels(student, teacher, side)

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on models that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: The teacher.
        """
        self._maps.attach(student, teacher)
        self._margins = self._margins_of(teacher)
        if self.batch_statistics:
            self._handles = use_batch_statistics(
                teacher, lambda: self._maps.is_open
            )

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._margins = [], []
        self._maps.detach()

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its maps in the reading are then a
                placeholder.

        Returns:
            As :meth:`FeatureTap.take`; the teacher's maps not below their
            margins.

        Raises:
            RuntimeError: If the maps do not pair.
        """
        reading = self._maps.take(teacher)
        if reading is None or teacher is None:
            return reading
        raised = tuple(
            torch.maximum(target, margin[:, None, None])
            for target, margin in zip(
                reading.teacher, self._margins, strict=True
            )
        )
        return reading._replace(teacher=raised)

    def _margins_of(self, teacher: nn.Module) -> list[Tensor]:
        paths = places(teacher, self.teacher_modules, 'teacher')
        return [margins_at(teacher, path) for path in paths]
