"""CAT-KD, class attention transfer: where the classes are seen.

Shapes: N images, C classes, h x w places, r x r after pooling.
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ..arguments import check_integer, check_switch, check_weight
from ..exceptions import MMKDValueError
from .common.reduction import numbers_in_use, weighted_mean
from .common.unit_rows import unit_rows

__all__ = ['CATKDLoss', 'cat_kd_loss']


def cat_kd_loss(
    student: Tensor, teacher: Tensor, *, size: int, normalize: bool
) -> Tensor:
    """Squared distance of pooled class activation maps.

    With the maps A of the classes, see
    :class:`~mmkd_plugin.taps.maps.class_map_tap.ClassMapTap`::

        A = adaptive average pooling of A to r x r
        A = A / ||A|| over the places of each class, if normalized
        loss = mean((A_student - A_teacher) ** 2)

    A class whose pooled map is zero has no direction: normalized, it counts
    as zeros, with gradient 0.

    Args:
        student: Maps of shape (N, C, h, w), any floating type.
        teacher: Maps of the same images and classes; they get no gradient.
        size: r.
        normalize: Whether the size of the maps does not matter.

    Returns:
        One value per image, (N,).

    Raises:
        ValueError: If they are no such maps.

    References:
        Guo, Yan, Li, Lin. Class Attention Transfer Based Knowledge
        Distillation. CVPR 2023, arXiv 2304.12777, Sections 3.2 and 3.3.  The
        authors' code removes the bias of both classifiers; here it stays in
        the logits, and is no part of the maps.

    Example:
        >>> import torch
        >>> teacher = torch.ones(1, 2, 4, 4)
        >>> cat_kd_loss(3 * teacher, teacher, size=2, normalize=False).item()
        4.0
        >>> cat_kd_loss(3 * teacher, teacher, size=2, normalize=True).item()
        0.0
    """
    if (
        not isinstance(student, Tensor)
        or student.ndim != 4
        or student.shape[:2] != teacher.shape[:2]
        or teacher.ndim != 4
    ):
        shapes = [
            tuple(maps.shape)
            if isinstance(maps, Tensor)
            else f'a {type(maps).__name__}'
            for maps in (student, teacher)
        ]
        raise MMKDValueError(
            'Expected arguments `student` and `teacher` to be maps of the '
            f'same images and classes, (N, C, h, w), but got {shapes[0]} and '
            f'{shapes[1]}: let the loss read from a tap of class maps, '
            "tap=dict(type='ClassMapTap')."
        )
    dtype = torch.promote_types(student.dtype, teacher.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    own = _pooled(student.to(dtype), size, normalize)
    other = _pooled(teacher.detach().to(dtype), size, normalize)
    return (own - other).square().mean(dim=(1, 2))


def _pooled(maps: Tensor, size: int, normalize: bool) -> Tensor:
    """(N, C, r r)."""
    maps = F.adaptive_avg_pool2d(maps, size).flatten(2)
    if not normalize:
        return maps
    return unit_rows(maps.flatten(0, 1)).view_as(maps)


@MODELS.register_module()
class CATKDLoss(nn.Module):
    """``loss_weight`` times the mean over images of :func:`cat_kd_loss`.

    Args:
        loss_weight: Factor of the loss, 0 or above; it differs from pair to
            pair of student and teacher.
        size: Height and width to which the maps are pooled, r.
        normalize: Whether the map of each class is divided by its length.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.
    """

    kind = 'class_maps'
    default_tap = dict(type='ClassMapTap')
    extra_repr = numbers_in_use

    def __init__(
        self, *, loss_weight: float, size: int, normalize: bool
    ) -> None:
        super().__init__()
        check_weight(loss_weight=loss_weight)
        check_integer('size', size, 1)
        check_switch(normalize=normalize)
        self.loss_weight = loss_weight
        self.size = size
        self.normalize = normalize

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: object,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: Maps of shape (N, C, h, w).
            teacher: Maps of the same images and classes.
            labels: Not used; all losses have the same signature.
            weights: Shape (N,), or None.

        Returns:
            A scalar.

        Raises:
            ValueError: The shapes are others.
        """
        losses = cat_kd_loss(
            student, teacher, size=self.size, normalize=self.normalize
        )
        return self.loss_weight * weighted_mean(losses, weights)
