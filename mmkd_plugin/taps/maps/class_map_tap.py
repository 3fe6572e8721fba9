"""Where in its last feature map an image classifier sees each class.

N images, C classes, D channels, h x w places.
"""

from typing import Any

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor
from torch.nn import functional as F

from ...exceptions import MMKDTypeError
from ..reading import Reading
from .feature_tap import FeatureTap
from .stage_paths import LAST


@TASK_UTILS.register_module()
class ClassMapTap:
    """Read class activation maps: the weight of the last layer on the map.

    The mean over the places of the map of a class is its logit without the
    bias.  Gradients reach the map and the weight of the student.

    Works with MMPretrain's ``ImageClassifier`` with a
    ``GlobalAveragePooling`` between the map and a ``LinearClsHead``.
    """

    kind = 'class_maps'
    # Channels of the maps are classes, which are matched by name.
    per_class = True
    # Number of background classes, after the others.
    background = 0
    # The teacher's images may be of another size than the student's.
    any_size = True
    # It has hooks on modules of the teacher.
    intact = True

    def __init__(self) -> None:
        self._maps = FeatureTap(LAST, resize='keep')
        self._student: Any = None

    def shared(self, student: nn.Module) -> tuple[str, ...]:
        """Places in a student whose output the term and the task use."""
        return self._maps.shared(student)

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has map, pooling and linear layer."""
        return not _lacks(model)

    def num_classes(self, model: nn.Module) -> int:
        """Number of classes of a classifier, C."""
        return _weight(model).shape[0]

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose logits are no means of maps.

        Args:
            role: 'student' or 'teacher'.
            model: Not wrapped.

        Raises:
            TypeError: If neck or head are others.
        """
        lacks = _lacks(model)
        if lacks:
            raise MMKDTypeError(
                f'Expected the {role} {type(model).__name__} to have a '
                f'{lacks}, from which ClassMapTap reads class activation '
                'maps: take an ImageClassifier with GlobalAveragePooling and '
                'LinearClsHead, or another loss.'
            )

    def reads(self, teacher: nn.Module) -> str:
        """What is read of a teacher, for the log."""
        return 'its class activation maps'

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on models that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: The teacher.
        """
        self._student = student
        self._maps.attach(student, teacher)

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        self._maps.detach()
        self._student = None

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its maps in the reading are then a
                placeholder.

        Returns:
            Maps (N, C, h, w), which may differ in h and w, of the student's
            classes, without those that the teacher does not know; labels and
            weights None.  None if the student did not run.
        """
        reading = self._maps.take(teacher)
        if reading is None:
            return None
        own = class_maps(reading.student[0], _weight(self._student))
        if teacher is None:
            return Reading(own, own.detach(), None, None)
        # Detached, as the map: in training nothing else asks for its weight.
        weight = teacher.answer(_weight_of).detach()
        if teacher.columns is not None:
            weight = weight[teacher.columns]
        if teacher.missing is not None:
            own, weight = own[:, teacher.known], weight[teacher.known]
        return Reading(own, class_maps(reading.teacher[0], weight), None, None)


def class_maps(features: Tensor, weight: Tensor) -> Tensor:
    """Class activation maps, in float32 or float64.

    Args:
        features: Maps of shape (N, D, h, w), any floating type.
        weight: Of the linear layer, (C, D).

    Returns:
        (N, C, h, w).

    Example:
        >>> features = torch.ones(1, 2, 3, 3)
        >>> class_maps(features, torch.tensor([[0.5, 1.0]])).mean().item()
        1.5
    """
    dtype = torch.promote_types(features.dtype, torch.float32)
    with torch.autocast(features.device.type, enabled=False):
        return F.conv2d(features.to(dtype), weight.to(dtype)[:, :, None, None])


def _weight(model: nn.Module) -> Tensor:
    return model.head.fc.weight  # type: ignore[union-attr,return-value]


def _weight_of(model: nn.Module, features: object) -> Tensor:
    """The weight of a teacher."""
    return _weight(model)


def _lacks(model: nn.Module) -> str:
    """What a model has not that class activation maps need."""
    neck, head = getattr(model, 'neck', None), getattr(model, 'head', None)
    if isinstance(neck, nn.Sequential) and len(neck):
        neck = neck[-1]
    if not _is(neck, 'GlobalAveragePooling'):
        return 'neck GlobalAveragePooling'
    if not _is(head, 'LinearClsHead'):
        return 'head LinearClsHead'
    return ''


def _is(part: object, name: str) -> bool:
    return name in {kind.__name__ for kind in type(part).__mro__}
