"""SP, similarity-preserving distillation: which images look alike.

Shapes: B images, L levels; C channels and h x w places of a level.
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_weight
from .common.maps import Maps, prepare_maps
from .common.reduction import numbers_in_use, weighted_mean
from .common.unit_rows import scaled_unit_rows

__all__ = ['SPLoss', 'sp_loss']


def sp_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of the similarities of the images of a batch.

    With the map of an image as a vector, a row of F::

        G = F F^T, each row divided by its length
        loss = ||G_student - G_teacher||^2 / B^2

    Student and teacher may differ in channels and sizes.  With one image it
    is 0.  Under data parallelism the batch is that of one process.  A row of
    zeros in F F^T stays one, and gets gradient 0.

    Args:
        student: Maps of shape (B, C_s, h_s, w_s), float32 or float64.
        teacher: Maps of shape (B, C_t, h_t, w_t); they get no gradient.

    Returns:
        One value per image, (B,), whose mean is the loss.

    References:
        Tung, Mori. Similarity-Preserving Knowledge Distillation. ICCV 2019,
        arXiv 1907.09682, equations 1 to 4.

    Example:
        >>> import torch
        >>> student = torch.eye(2).reshape(2, 2, 1, 1)
        >>> sp_loss(student, 5 * student).tolist()
        [0.0, 0.0]
        >>> sp_loss(student, torch.eye(2).flip(0)[:, :, None, None]).tolist()
        [0.0, 0.0]
    """
    gap = _similarities(student) - _similarities(teacher.detach())
    return gap.square().sum(dim=1) / max(len(gap), 1)


def _similarities(maps: Tensor) -> Tensor:
    """How alike the images are, (B, B), in rows of length 1."""
    rows = maps.flatten(1)
    return scaled_unit_rows(rows @ rows.T)


@MODELS.register_module()
class SPLoss(nn.Module):
    """``loss_weight`` times the sum over levels of :func:`sp_loss`.

    By default it reads the last stage of image classifiers.

    Args:
        loss_weight: Factor of the loss, 0 or above; 3000 in comparisons of
            methods.

    Raises:
        ValueError: If it is out of range.
    """

    kind = 'features'
    default_tap = dict(type='FeatureTap', modules='stages.-1', resize='keep')
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
            teacher: L maps of the same batch.
            labels: Not used; all losses have the same signature.
            weights: Not used.

        Returns:
            A scalar.

        Raises:
            TypeError, ValueError: They are no maps, or of other batches.
        """
        pairs = prepare_maps(
            student, teacher, any_channels=True, any_sizes=True
        )
        losses = [weighted_mean(sp_loss(*pair)) for pair in pairs]
        return self.loss_weight * torch.stack(losses).sum()

    @staticmethod
    def counted(
        student: Maps,
        teacher: Maps,
        labels: object,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Which images count: none, where there is no other."""
        count = len(student[0])
        return torch.full((count,), count > 1)
