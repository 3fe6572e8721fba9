"""OFD, overhaul of feature distillation: maps before the ReLU, in part.

Shapes: B images, L levels; C channels and h x w places of a level.
"""

import math
from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_weight
from .common.maps import (
    Maps,
    check_channels,
    check_levels,
    check_places,
    prepare_maps,
)
from .common.reduction import numbers_in_use, weighted_mean

__all__ = ['OFDLoss', 'ofd_loss']


def ofd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of maps where the ReLU would show it.

    ::

        loss = sum over channels and places of
            (student - teacher)^2 where student > teacher or teacher > 0

    What the teacher has at 0 or below, the student may have anywhere below
    it.

    Args:
        student: Maps of shape (B, C, h, w), float32 or float64.
        teacher: Maps of the same shape, not below their margins; they get no
            gradient.

    Returns:
        One value per image, (B,).

    References:
        Heo, Kim, Yun, Park, Kwak, Choi. A Comprehensive Overhaul of Feature
        Distillation. ICCV 2019, arXiv 1904.01866, the section on the
        distance function, the partial L2 distance.

    Example:
        >>> import torch
        >>> student = torch.tensor([3.0, -2.0, 1.0]).view(1, 1, 1, 3)
        >>> teacher = torch.tensor([5.0, -1.0, -1.0]).view(1, 1, 1, 3)
        >>> ofd_loss(student, teacher).item()  # 2^2 + 0 + 2^2
        8.0
    """
    teacher = teacher.detach()
    counts = (student > teacher) | (teacher > 0)
    gap = (student - teacher).masked_fill(~counts, 0)
    return gap.square().sum(dim=(1, 2, 3))


@MODELS.register_module()
class OFDLoss(nn.Module):
    """``loss_weight`` times the weighted sum over levels of :func:`ofd_loss`.

    Before it, a trained 1x1 convolution with batch normalisation takes the
    student's map to the teacher's channels.  Of L levels, the coarsest has a
    weight of 1, the next finer one 1/2, then 1/4.

    By default it reads from an :class:`~mmkd_plugin.taps.maps.ofd_tap.OFDTap`,
    which raises the teacher's map to its margins.

    Args:
        student_channels: Channels of the student's maps, (L,).
        teacher_channels: Channels of the teacher's maps, (L,).
        loss_weight: Factor of the loss, which is a sum over places, 0 or
            above; 0.001 in comparisons of methods.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.
    """

    kind = 'margins'
    default_tap = dict(type='OFDTap')
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        student_channels: Sequence[int],
        teacher_channels: Sequence[int],
        loss_weight: float,
    ) -> None:
        super().__init__()
        check_weight(loss_weight=loss_weight)
        self.student_channels = student_channels
        self.teacher_channels = teacher_channels
        self.loss_weight = loss_weight
        check_channels(
            student_channels=student_channels,
            teacher_channels=teacher_channels,
        )
        self.connectors = nn.ModuleList(
            _connector(own, target)
            for own, target in zip(student_channels, teacher_channels)
        )

    def forward(
        self,
        student: Maps,
        teacher: Maps,
        labels: object,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: L maps of shape (B, C, h, w), before their ReLU.
            teacher: L maps of the same batch and sizes.
            labels: Not used; all losses have the same signature.
            weights: Not used.

        Returns:
            A scalar.

        Raises:
            TypeError, ValueError: The maps are not those that the arguments
                tell of, or differ in their sizes, or there is one image whose
                map has one place.
        """
        check_levels(student, teacher, self.connectors)
        if self.training:
            for i, own in enumerate(student):
                check_places(own, i, type(self).__name__)
        pairs = prepare_maps(student, teacher, self.connectors)
        losses = [
            0.5 ** (len(pairs) - 1 - i) * weighted_mean(ofd_loss(*pair))
            for i, pair in enumerate(pairs)
        ]
        return self.loss_weight * torch.stack(losses).sum()


def _connector(channels: int, out_channels: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, out_channels, 1, bias=False)
    nn.init.normal_(conv.weight, std=math.sqrt(2 / out_channels))
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))
