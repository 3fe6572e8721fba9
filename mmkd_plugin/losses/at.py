"""AT, attention transfer: where the maps of a stage are large.

Shapes: B images, L levels; C channels and h x w places of a level.
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_weight
from .common.maps import Maps, prepare_maps
from .common.reduction import numbers_in_use, weighted_mean
from .common.unit_rows import scaled_unit_rows

__all__ = ['ATLoss', 'at_loss']


def at_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of the attention of both, at one level.

    The attention of an image is the mean over channels of the squared map,
    as a vector of length 1::

        a = mean_c f^2          a = a / ||a||
        loss = mean((a_student - a_teacher) ** 2)

    A factor of the maps of an image changes nothing.  The mean is over h w
    places and ``a`` has length 1, so that the loss is at most 2 / (h w): its
    weight belongs to a size of map.  Maps of zeros have no attention: they
    count as zeros, and get gradient 0.

    Args:
        student: Maps of shape (B, C_s, h, w), float32 or float64.
        teacher: Maps of shape (B, C_t, h, w); they get no gradient.

    Returns:
        One value per image, (B,).

    References:
        Zagoruyko, Komodakis. Paying More Attention to Attention. ICLR 2017,
        arXiv 1612.03928, Section 3.1, with p = 2.  Equation 2 writes half of
        the length of the difference; the authors' code takes the mean of the
        squares, and so does every comparison with a weight of 1000.

    Example:
        >>> import torch
        >>> teacher = torch.eye(2).reshape(1, 1, 2, 2)
        >>> at_loss(3 * teacher, teacher).tolist()
        [0.0]
        >>> round(at_loss(1 - teacher, teacher).item(), 4)
        0.5
    """
    gap = _attention(student) - _attention(teacher.detach())
    return gap.square().mean(dim=1)


def _attention(maps: Tensor) -> Tensor:
    """The attention of each image, (B, h w)."""
    return scaled_unit_rows(maps.square().mean(dim=1).flatten(1))


@MODELS.register_module()
class ATLoss(nn.Module):
    """``loss_weight`` times the sum over levels of :func:`at_loss`.

    By default it reads the stages of image classifiers, the larger of two
    maps pooled to the size of the smaller.

    Args:
        loss_weight: Factor of the loss, 0 or above; 1000 in comparisons of
            methods.

    Raises:
        ValueError: If it is out of range.
    """

    kind = 'features'
    default_tap = dict(type='FeatureTap', modules='stages', resize='pool')
    extra_repr = numbers_in_use

    def __init__(self, *, loss_weight: float) -> None:
        super().__init__()
        check_weight(loss_weight=loss_weight)
        self.loss_weight = loss_weight

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
            TypeError, ValueError: They are no maps, or differ in their sizes.
        """
        pairs = prepare_maps(student, teacher, any_channels=True)
        losses = [weighted_mean(at_loss(*pair)) for pair in pairs]
        return self.loss_weight * torch.stack(losses).sum()
