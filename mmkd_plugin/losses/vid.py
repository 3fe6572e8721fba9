"""VID, variational information distillation: predict the teacher's maps.

Shapes: B images, L levels; C channels and h x w places of a level.
"""

import math
from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ..arguments import check_weight
from .common.maps import (
    Maps,
    check_channels,
    check_levels,
    check_width,
    prepare_maps,
)
from .common.reduction import numbers_in_use, weighted_mean

__all__ = ['VIDLoss', 'vid_loss']

# The variance at the start, and the least that it can be.
START, LEAST = 5.0, 1e-5


def vid_loss(student: Tensor, teacher: Tensor, *, variance: Tensor) -> Tensor:
    """Negative log-likelihood of the teacher's map, without its constant.

    The student predicts the teacher's map as a normal distribution at each
    place, of which each channel has a variance v of its own::

        loss = mean over channels and places of
            1/2 ((student - teacher)^2 / v + log v)

    It is below 0 where the prediction is good and v small.

    Args:
        student: Predicted maps of shape (B, C, h, w), float32 or float64.
        teacher: Maps of the same shape; they get no gradient.
        variance: v of each channel, (C,), above 0.

    Returns:
        One value per image, (B,).

    References:
        Ahn, Hu, Damianou, Lawrence, Dai. Variational Information Distillation
        for Knowledge Transfer. CVPR 2019, arXiv 1904.05835, Section 3.1,
        equation of the Gaussian; as a mean, as in the code of comparisons,
        not as a sum.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
        >>> vid_loss(student, teacher, variance=torch.ones(2)).item()
        0.5
        >>> variance = torch.full((2,), 0.1)
        >>> round(vid_loss(teacher, teacher, variance=variance).item(), 4)
        -1.1513
    """
    variance = variance[:, None, None]
    gap = student - teacher.detach()
    return (gap.square() / variance + variance.log()).mean(dim=(1, 2, 3)) / 2


@MODELS.register_module()
class VIDLoss(nn.Module):
    """``loss_weight`` times the sum over levels of :func:`vid_loss`.

    A level's prediction is that of a regressor of three 1x1 convolutions
    with a ReLU between, without bias.  Its variances are
    ``softplus(a) + 1e-5``, 5 at the start.  Regressors and variances are
    trained, the variances without weight decay, which would draw them to
    log 2.  They are of no use after training.

    By default it reads the stages of image classifiers, the larger of two
    maps pooled to the size of the smaller.

    Args:
        student_channels: Channels of the student's maps, (L,).
        teacher_channels: Channels of the teacher's maps, (L,).
        loss_weight: Factor of the loss, 0 or above; 1 in comparisons of
            methods.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.
    """

    kind = 'features'
    default_tap = dict(type='FeatureTap', modules='stages', resize='pool')
    # Not shrunk by the optimizer.
    without_decay = ('spreads',)
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
        self.regressors = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(own, target, 1, bias=False),
                nn.ReLU(),
                nn.Conv2d(target, target, 1, bias=False),
                nn.ReLU(),
                nn.Conv2d(target, target, 1, bias=False),
            )
            for own, target in zip(student_channels, teacher_channels)
        )
        # The inverse of softplus.
        first = math.log(math.expm1(START - LEAST))
        self.spreads = nn.ParameterList(
            torch.full((target,), first) for target in teacher_channels
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
            A scalar, of either sign.

        Raises:
            TypeError, ValueError: The maps are not those that the arguments
                tell of, or differ in their sizes.
        """
        check_levels(student, teacher, self.regressors)
        predicted = []
        for i, own in enumerate(student):
            check_width('student', own, self.student_channels[i], i)
            predicted.append(self.regressors[i](own.to(self.spreads[i].dtype)))
        losses = [
            weighted_mean(
                vid_loss(own, target, variance=F.softplus(spread) + LEAST)
            )
            for (own, target), spread in zip(
                prepare_maps(predicted, teacher), self.spreads
            )
        ]
        return self.loss_weight * torch.stack(losses).sum()
