"""PKD, distillation by Pearson correlation: how channels vary, not how much.

Shapes: B images, L levels; C channels and h x w places of a level, n = B h w.
"""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_weight
from .common.by_channels import by_channels
from .common.maps import Maps, build_adapters, prepare_maps
from .common.reduction import numbers_in_use

# From the authors' code, added to each standard deviation.
EPS = 1e-6

__all__ = ['PKDLoss', 'pkd_loss']


def pkd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of the standardised channels of one level.

    With mean and unbiased standard deviation of each channel over the n
    places of all images::

        u = (f - mean) / (std + 1e-6)
        loss = mean((u_student - u_teacher) ** 2) / 2

    which is (n - 1) / n times the mean over channels of 1 - r, with r the
    Pearson correlation, but for the 1e-6.  An offset and a positive scale of
    a channel change nothing.  Padding counts as any other place.  Under data
    parallelism the places are those of one process.

    A channel that is constant up to rounding has no scale: it counts as
    zeros, which makes its loss (n - 1) / 2n, or 0 if both are constant, and
    gets gradient 0, where the formula would give up to 1e6 / n.  This holds
    for every channel if n = 1.

    Args:
        student: Maps of shape (B, C, h, w), float32 or float64.
        teacher: Maps of the same shape and type; they get no gradient.

    Returns:
        A scalar in 0 .. 2.

    References:
        Cao, Zhang, Gao, Cheng, Cheng, Cheng. PKD: General Distillation
        Framework for Object Detectors via Pearson Correlation Coefficient.
        NeurIPS 2022, arXiv 2207.02039, the section on feature imitation with
        the Pearson correlation; the unbiased deviation and 1e-6 are those of
        the authors' code, in MMRazor.

    Example:
        >>> import torch
        >>> teacher = torch.arange(12.0).reshape(1, 3, 2, 2)
        >>> pkd_loss(5 * teacher - 1, teacher).item() < 1e-6
        True
        >>> round(pkd_loss(-teacher, teacher).item(), 3)
        1.5
    """
    return by_channels(_part, student, teacher) / student.shape[1]


def _part(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the losses of some channels, and its gradient."""
    places = student[:, 0].numel()
    degrees = max(places - 1, 1)
    u, scale, std = _standardize(student, degrees)
    gap, _, teacher_std = _standardize(teacher, degrees)
    gap = gap.sub_(u).neg_()
    variance = _norm(gap).square() / degrees
    # The covariance of gap and u, from the variances of the three; the mean
    # of `gap` is 0, so that the gradient of the means adds nothing.
    shared = (std.square() - teacher_std.square() + variance) / 2
    shared = shared / std.masked_fill(std == 0, 1)
    gradient = gap.addcmul_(u, shared, value=-1).mul_(scale / places)
    return variance.sum() * (degrees / places / 2), gradient


def _standardize(maps: Tensor, degrees: int) -> tuple[Tensor, Tensor, Tensor]:
    """u of each channel, what it was multiplied by, and the deviation of u."""
    mean = maps.mean(dim=(0, 2, 3), keepdim=True)
    centred = maps - mean
    std = _norm(centred) / degrees**0.5
    rounding = 16 * torch.finfo(maps.dtype).eps * mean.abs()
    scale = (1 / (std + EPS)).masked_fill(std <= rounding, 0)
    return centred.mul_(scale), scale, std * scale


def _norm(maps: Tensor) -> Tensor:
    return torch.linalg.vector_norm(maps, dim=(0, 2, 3), keepdim=True)


@MODELS.register_module()
class PKDLoss(nn.Module):
    """``loss_weight`` times the sum over levels of :func:`pkd_loss`.

    Args:
        loss_weight: Factor of the loss, 0 or above.
        student_channels: Channels of the student's maps, (L,), for a trained
            1x1 convolution per level to the teacher's.
        teacher_channels: Channels of the teacher's maps, (L,).  Both None:
            no convolution, and equal channels.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.
    """

    kind = 'features'
    default_tap = dict(type='FeatureTap', levels=['p2', 'p3', 'p4', 'p5'])
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        loss_weight: float,
        student_channels: Sequence[int] | None = None,
        teacher_channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_weight(loss_weight=loss_weight)
        self.loss_weight = loss_weight
        self.student_channels = student_channels
        self.teacher_channels = teacher_channels
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
            A scalar in 0 .. 2 L ``loss_weight``.

        Raises:
            TypeError, ValueError: The maps are not those that the arguments
                tell of, or differ in their sizes.
        """
        pairs = prepare_maps(student, teacher, self.adapters)
        losses = [pkd_loss(own, target) for own, target in pairs]
        return self.loss_weight * torch.stack(losses).sum()
