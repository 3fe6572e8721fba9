"""Cosine: the direction of each place's feature vector, not its length.

Shapes: B images, L levels; C channels and h x w places of a level.
"""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_weight
from .common.by_channels import by_channels
from .common.maps import Maps, build_adapters, prepare_maps
from .common.reduction import numbers_in_use

__all__ = ['CosineLoss', 'cosine_loss']


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1 less the cosine between the channel vectors of one level.

    With s and t the vectors of C channels at a place, the mean over the
    places of all images::

        loss = mean(1 - s . t / (|s| |t|))

    A positive scale of a vector changes nothing. A vector of zeros, up to
    rounding, has no direction: its cosine is 0, with gradient 0. Padding
    counts as any other place.

    Args:
        student: Maps of shape (B, C, h, w), float32 or float64.
        teacher: Maps of the same shape and type; they get no gradient.

    Returns:
        A scalar in 0 .. 2, up to rounding.

    References:
        Liao, Zhao, Shan, Yan, Liu, Lu, Ji, Chen. RT-DETRv4: Painlessly
        Furthering Real-Time Object Detection with Vision Foundation Models.
        arXiv 2510.25257, whose released code has it with a factor that
        adapts, which this has not. Ultralytics' guide to distillation has it
        with DINOv3 as teacher.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
        >>> student = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
        >>> round(cosine_loss(student, teacher).item(), 4)
        0.4
    """
    places = student[:, 0].numel()
    # The images take the place of the channels, as each has its own loss.
    own, other = student.transpose(0, 1), teacher.transpose(0, 1)
    return by_channels(_part, own, other) / places


def _part(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """The sum over the places of some images, (C, b, h, w); its gradient."""
    products = student * teacher
    inverse, other = _inverse_norm(student), _inverse_norm(teacher)
    cosine = products.sum(dim=0, keepdim=True).mul_(inverse).mul_(other)
    gradient = torch.mul(teacher, -inverse * other, out=products)
    gradient.addcmul_(student, cosine * inverse.square())
    return (1 - cosine).sum(), gradient


def _inverse_norm(maps: Tensor) -> Tensor:
    """1 / length of each vector; 0 for one of zeros."""
    length = torch.linalg.vector_norm(maps, dim=0, keepdim=True)
    eps = torch.finfo(maps.dtype).eps
    return 1 / length.masked_fill_(length < eps, torch.inf)


@MODELS.register_module()
class CosineLoss(nn.Module):
    """``loss_weight`` times the sum over levels of :func:`cosine_loss`.

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
    default_tap = dict(type='FeatureTap')
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
        losses = [cosine_loss(own, target) for own, target in pairs]
        return self.loss_weight * torch.stack(losses).sum()
