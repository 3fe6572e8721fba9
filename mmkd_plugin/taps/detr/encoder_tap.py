"""The encoded maps of Deformable DETR and DINO.

B images, S levels of h_s x w_s places, P places over the levels, D channels.
"""

import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor

from ..maps.feature_tap import ground_truth
from ..reading import Reading
from .detr_models import Shapes, refuse_detr, refuse_pair, refuse_shapes
from .detr_questions import Encode
from .detr_record import DETRRecord


@TASK_UTILS.register_module()
class EncoderTap:
    """Read what the encoder of student and teacher gives, as maps.

    The tokens of each level are put back where they belong, so that every
    loss of feature maps can read them.  Where an image is padded they are
    whatever the encoder gave there.

    Works with MMDetection's ``DeformableDETR`` and ``DINO``.  The maps before
    the encoder are those of the neck, which
    :class:`~mmkd_plugin.taps.maps.feature_tap.FeatureTap` reads.
    """

    kind = 'features'
    per_class = False

    def __init__(self) -> None:
        self._record: DETRRecord | None = None

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the kind of encoder that this tap reads."""
        kinds = {kind.__name__ for kind in type(model).__mro__}
        return 'DeformableDETR' in kinds

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose encoder the tap cannot read.

        Args:
            role: What to call the model in the message.
            model: A student or teacher, not wrapped.

        Raises:
            TypeError: If it is no Deformable DETR or DINO.
        """
        refuse_detr(role, model, type(self).__name__)

    def reads(self, teacher: nn.Module) -> str:
        """What is read of a teacher, for the log."""
        return 'what its encoder gives'

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on a student that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: The teacher.

        Raises:
            TypeError: If the teacher has other levels or another padding.
        """
        refuse_pair(student, teacher, type(self).__name__)
        self._record = DETRRecord(
            student, lambda model: self.refuse('student', model)
        )

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        if self._record is not None:
            self._record.close()
            self._record = None

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its maps in the reading are then a
                placeholder.

        Returns:
            Tuples of S maps (B, D, h_s, w_s), fine to coarse; labels as of
            :class:`~mmkd_plugin.taps.maps.feature_tap.FeatureTap`; weights
            None.  None if the student did not run.

        Raises:
            RuntimeError: If student and teacher have levels of other sizes.
        """
        seen = self._record.take() if self._record else None
        if seen is None:
            return None
        own = _as_maps(seen.memory, seen.shapes)
        if teacher is None:
            return Reading(own, tuple(x.detach() for x in own), None, None)
        encoded = teacher.answer(Encode(seen.samples))
        refuse_shapes(seen.shapes, encoded.shapes, type(self).__name__)
        other = _as_maps(encoded.memory, encoded.shapes)
        size = seen.samples[0].batch_input_shape
        return Reading(own, other, ground_truth(seen.samples, size), None)


def _as_maps(memory: Tensor, shapes: Shapes) -> tuple[Tensor, ...]:
    """The tokens (B, P, D) as a map (B, D, h_s, w_s) of each level."""
    levels = memory.transpose(1, 2).split([h * w for h, w in shapes], dim=2)
    return tuple(x.unflatten(2, shape) for x, shape in zip(levels, shapes))
