"""FitNets' hints: the squared distance of the maps themselves.

Shapes: B images, L levels; C channels and h x w places of a level.
"""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ..arguments import check_choice, check_weight
from ..exceptions import MMKDValueError
from .common.by_channels import by_channels
from .common.inside_boxes import inside_boxes
from .common.maps import (
    Maps,
    build_adapters,
    check_channels,
    check_levels,
    check_places,
    prepare_maps,
)
from .common.reduction import numbers_in_use

REGRESSORS = ('conv', 'conv_bn', 'conv_bn_relu')

__all__ = ['FitNetLoss', 'fitnet_loss']


def fitnet_loss(
    student: Tensor, teacher: Tensor, *, weights: Tensor | None = None
) -> Tensor:
    """Squared distance of the maps of one level.

    Args:
        student: Maps of shape (B, C, h, w), float32 or float64.
        teacher: Maps of the same shape and type.
        weights: Weights of the places, (B, h, w), as of
            :func:`place_weights`.  None: each has 1 / (B h w).

    Returns:
        A scalar: the mean over channels, and the weighted sum over places,
        of ``(student - teacher) ** 2``.

    References:
        Romero, Ballas, Kahou, Chassang, Gatta, Bengio. FitNets: Hints for
        Thin Deep Nets. ICLR 2015, arXiv 1412.6550, equation of the hint
        training; as a mean, not as half the sum.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
        >>> fitnet_loss(student, 3 * teacher).item()
        9.0
    """
    if weights is None:
        return F.mse_loss(student, teacher)
    weights = weights[:, None]

    def part(own: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of some channels' weighted squares, and its gradient."""
        gap = own - target
        pull = weights * gap
        return gap.mul_(pull).sum(), pull.mul_(2)

    return by_channels(part, student, teacher) / student.shape[1]


def place_weights(
    inside: Tensor,
    *,
    foreground: float,
    background: float,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weights that sum to one number inside the boxes and another outside.

    Args:
        inside: Bool of shape (B, h, w).
        foreground: Sum of the weights of the places inside, over all images;
            0 if there are none.
        background: The same for those outside.
        dtype: Type of the result.

    Returns:
        Shape (B, h, w).
    """
    count = inside.sum(dtype=dtype)
    outside = inside.numel() - count
    # What is divided by a count of 0 has no place either.
    return torch.where(inside, foreground / count, background / outside)


@MODELS.register_module()
class FitNetLoss(nn.Module):
    """``loss_weight`` times the sum over levels of :func:`fitnet_loss`.

    With ``foreground_weight`` and ``background_weight`` a level counts::

        foreground_weight * mean over the places inside boxes
        + background_weight * mean over the other places

    Cells that a ground-truth box touches are inside; padding is outside.
    The paper on decoupled features (DeFeat, arXiv 2103.14475) has this with
    ``loss_weight`` = 1 / 2L.

    Args:
        loss_weight: Factor of the loss, 0 or above.
        foreground_weight: Weight of the places inside boxes, 0 or above.
        background_weight: Weight of those outside.  Both None: boxes do not
            matter, and a level counts the mean over its places.
        student_channels: Channels of the student's maps, (L,), for FitNets'
            regressor, trained per level.
        teacher_channels: Channels of the teacher's maps, (L,).  Both None:
            no regressor, and equal channels.
        regressor: 'conv', a 1x1 convolution with a bias; 'conv_bn', the same
            and batch normalisation; 'conv_bn_relu', and a ReLU.  With a ReLU
            it cannot match what is negative in the teacher's maps.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range, or only one of two weights or channels is given, or none
            for 'conv_bn' and 'conv_bn_relu'.

    References:
        See :func:`fitnet_loss`.  The comparisons of methods on CIFAR-100
        have the regressor with a ReLU.  Where the sizes of the maps differ,
        theirs is a larger convolution; here the tap pools the larger map.
    """

    kind = 'features'
    default_tap = dict(type='FeatureTap')
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        loss_weight: float,
        foreground_weight: float | None = None,
        background_weight: float | None = None,
        student_channels: Sequence[int] | None = None,
        teacher_channels: Sequence[int] | None = None,
        regressor: str = 'conv',
    ) -> None:
        super().__init__()
        check_weight(loss_weight=loss_weight)
        check_choice('regressor', regressor, *REGRESSORS)
        masks = dict(
            foreground_weight=foreground_weight,
            background_weight=background_weight,
        )
        given = [weight for weight in masks.values() if weight is not None]
        if len(given) == 1:
            raise MMKDValueError(
                'Expected arguments `foreground_weight` and '
                '`background_weight` to be given both or not at all but got '
                f'{foreground_weight} and {background_weight}: 0 leaves '
                'places out.'
            )
        if given:
            check_weight(**masks)
        self.loss_weight = loss_weight
        self.foreground_weight = foreground_weight
        self.background_weight = background_weight
        self.student_channels = student_channels
        self.teacher_channels = teacher_channels
        self.regressor = regressor
        self.adapters = build_adapters(student_channels, teacher_channels)
        if regressor != 'conv':
            check_channels(
                student_channels=student_channels,
                teacher_channels=teacher_channels,
            )
            self.adapters = nn.ModuleList(
                _normalised(conv, relu=regressor == 'conv_bn_relu')
                for conv in self.adapters or ()
            )

    def forward(
        self,
        student: Maps,
        teacher: Maps,
        labels: Sequence[Tensor] | None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: L maps of shape (B, C, h, w).
            teacher: L maps of the same batch and sizes.
            labels: Ground-truth boxes of each image, (n, 4), x1 y1 x2 y2 as
                fractions of the width and height of the padded batch.  Not
                used without the two weights.
            weights: Not used.

        Returns:
            A scalar.

        Raises:
            TypeError, ValueError: The maps are not those that the arguments
                tell of, or differ in their sizes; or there are no boxes.
        """
        if self.regressor != 'conv' and self.training:
            check_levels(student, teacher, self.adapters)
            for i, own in enumerate(student):
                check_places(own, i, type(self).__name__)
        pairs = prepare_maps(student, teacher, self.adapters)
        losses = [
            fitnet_loss(own, target, weights=self._weigh(labels, own))
            for own, target in pairs
        ]
        return self.loss_weight * torch.stack(losses).sum()

    def _weigh(
        self, boxes: Sequence[Tensor] | None, own: Tensor
    ) -> Tensor | None:
        if self.foreground_weight is None or self.background_weight is None:
            return None
        return place_weights(
            inside_boxes(boxes, own),
            foreground=self.foreground_weight,
            background=self.background_weight,
            dtype=own.dtype,
        )


def _normalised(conv: nn.Module, *, relu: bool) -> nn.Sequential:
    """A convolution with batch normalisation after it, and maybe a ReLU."""
    layers = [conv, nn.BatchNorm2d(conv.out_channels)]  # type: ignore[arg-type]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))
