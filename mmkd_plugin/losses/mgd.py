"""MGD, masked generative distillation: make the teacher's map from a part.

Shapes: B images, L levels; C channels and h x w places of a level.
"""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_number, check_weight
from .common.maps import (
    Maps,
    build_adapters,
    check_channels,
    check_levels,
    check_width,
    prepare_maps,
)
from .common.reduction import numbers_in_use

__all__ = ['MGDLoss']


@MODELS.register_module()
class MGDLoss(nn.Module):
    """Distance of what is generated from the masked map of the student.

    With m 0 at a place with the probability ``mask_ratio`` and 1 elsewhere,
    for all channels alike, and G = conv3x3, ReLU, conv3x3::

        loss = loss_weight / B * sum over levels, images, channels, places of
            (G(m F^S) - F^T)^2

    Every place counts, masked or not.  The loss is a sum: the finest level
    has most of it.  Only the generators and the adapters are trained here;
    they are of no use after training.

    The masks are new in every step, drawn by the global generator of the
    maps' device.

    Args:
        mask_ratio: Probability of a place to be masked, 0 to 1.
        loss_weight: Factor of the loss, 0 or above.
        teacher_channels: Channels of the teacher's maps, (L,).
        student_channels: Channels of the student's maps, (L,), for a 1x1
            convolution before the mask.  None: they are the teacher's, and
            there is no convolution.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.

    References:
        Yang, Li, Shao, Shi, Yuan, Yuan. Masked Generative Distillation. ECCV
        2022, arXiv 2205.01529, the section on generation with masked
        features; adapter and normaliser as in the authors' code for
        detection.
    """

    kind = 'features'
    default_tap = dict(type='FeatureTap', levels=['p2', 'p3', 'p4', 'p5'])
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        mask_ratio: float,
        loss_weight: float,
        teacher_channels: Sequence[int],
        student_channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_number('mask_ratio', mask_ratio, 0, 1)
        check_weight(loss_weight=loss_weight)
        check_channels(teacher_channels=teacher_channels)
        self.mask_ratio = mask_ratio
        self.loss_weight = loss_weight
        self.teacher_channels = teacher_channels
        self.student_channels = student_channels
        self.adapters = None
        if student_channels is not None:
            self.adapters = build_adapters(student_channels, teacher_channels)
        self.generators = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            for channels in teacher_channels
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
            student: L maps of shape (B, C, h, w).
            teacher: L maps of the same batch and sizes.
            labels: Not used; all losses have the same signature.
            weights: Not used.

        Returns:
            A scalar.

        Raises:
            TypeError, ValueError: The maps are not those that the arguments
                tell of.
        """
        check_levels(student, teacher, self.generators)
        pairs = prepare_maps(student, teacher, self.adapters)
        losses = []
        for i, (own, target) in enumerate(pairs):
            check_width('teacher', target, self.teacher_channels[i], i)
            drawn = torch.rand(len(own), 1, *own.shape[2:], device=own.device)
            own = own.masked_fill(drawn < self.mask_ratio, 0)
            gap = self.generators[i](own) - target
            losses.append(gap.square().sum() / len(own))
        return self.loss_weight * torch.stack(losses).sum()
