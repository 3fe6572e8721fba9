"""CWD, channel-wise distillation: where each channel is active.

Shapes: B images, L levels; C channels and h x w places of a level.
"""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ..arguments import check_switch, check_tau, check_weight
from .common.by_channels import by_channels
from .common.maps import Maps, build_adapters, prepare_maps
from .common.reduction import numbers_in_use

__all__ = ['CWDLoss', 'cwd_loss']


def cwd_loss(student: Tensor, teacher: Tensor, *, tau: float) -> Tensor:
    """Divergence between the channels of one level, as distributions.

    With p = softmax(f / tau) over the h w places of each channel of each
    image::

        loss = tau^2 * mean over images and channels of KL(p^T || p^S)

    A constant added to a channel changes nothing; its scale does.  Padding
    counts as any other place.  A channel of one place gives 0.

    Args:
        student: Maps of shape (B, C, h, w), float32 or float64.
        teacher: Maps of the same shape and type; they get no gradient.
        tau: Temperature, positive.

    Returns:
        A scalar, 0 or above up to rounding.

    References:
        Shu, Liu, Gao, Yan, Shen. Channel-wise Knowledge Distillation for
        Dense Prediction. ICCV 2021, arXiv 2011.13256, the section on
        channel-wise distillation, equations of the softmax over places and
        of its divergence.

    Example:
        >>> import torch
        >>> teacher = torch.arange(12.0).reshape(1, 3, 2, 2)
        >>> round(cwd_loss(teacher - 5, teacher, tau=1.0).item(), 6) + 0.0
        0.0
        >>> round(cwd_loss(0 * teacher, teacher, tau=1.0).item(), 4)
        0.4388
    """

    def part(own: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of some channels' divergences, and its gradient."""
        log_own = (own.flatten(2) / tau).log_softmax(dim=2)
        log_target = (target.flatten(2) / tau).log_softmax(dim=2)
        probs = log_target.exp()
        value = (log_target.sub_(log_own).mul_(probs)).sum()
        return value, log_own.exp_().sub_(probs).div_(tau).view(own.shape)

    images, channels = student.shape[:2]
    value = by_channels(part, student, teacher)
    return value * (tau**2 / (images * channels))


@MODELS.register_module()
class CWDLoss(nn.Module):
    """``loss_weight`` times the sum over levels of :func:`cwd_loss`.

    Args:
        tau: Temperature, positive.
        loss_weight: Factor of the loss, 0 or above.
        student_channels: Channels of the student's maps, (L,), for a trained
            1x1 convolution per level to the teacher's.
        teacher_channels: Channels of the teacher's maps, (L,).  Both None:
            no convolution, and equal channels.
        standardize: Whether each channel of both maps first gets mean 0 and
            variance 1 over the places of the batch, as batch normalisation
            without affine part does; it is how MMYOLO distils RTMDet.  The
            scale of a channel then changes nothing either.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.
    """

    kind = 'features'
    default_tap = dict(type='FeatureTap')
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        tau: float,
        loss_weight: float,
        student_channels: Sequence[int] | None = None,
        teacher_channels: Sequence[int] | None = None,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        check_tau(tau=tau)
        check_weight(loss_weight=loss_weight)
        check_switch(standardize=standardize)
        self.tau = tau
        self.loss_weight = loss_weight
        self.student_channels = student_channels
        self.teacher_channels = teacher_channels
        self.standardize = standardize
        self.adapters = build_adapters(student_channels, teacher_channels)

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
                tell of, or differ in their sizes.
        """
        pairs = prepare_maps(student, teacher, self.adapters)
        if self.standardize:
            pairs = [(_standardize(a), _standardize(b)) for a, b in pairs]
        losses = [cwd_loss(own, target, tau=self.tau) for own, target in pairs]
        return self.loss_weight * torch.stack(losses).sum()


def _standardize(maps: Tensor) -> Tensor:
    """Each channel with mean 0 and variance 1; 0 if it is one number."""
    if maps[:, 0].numel() == 1:
        return maps * 0
    return F.batch_norm(maps, None, None, training=True)
