"""CC, correlation congruence: which images correlate, by a kernel.

Shapes: N images, D numbers of a vector, which may be others of the teacher.
"""

import math

from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_number, check_weight
from .common.reduction import numbers_in_use
from .common.unit_rows import unit_rows
from .common.vectors import prepare_vectors, related_images

__all__ = ['CCLoss', 'cc_loss']


def cc_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    gamma: float,
    counted: Tensor | None = None,
) -> Tensor:
    """Difference of the correlations of the images of a batch.

    With the cosine c_ij of two vectors, the Taylor series of a Gaussian
    kernel up to the second order, and the mean over all ordered pairs::

        K_ij = exp(-2 gamma) (1 + 2 gamma c_ij + (2 gamma c_ij)^2 / 2)
        loss = mean_ij (K_ij^student - K_ij^teacher)^2

    A vector of zeros has the cosine 0 with all, and gradient 0.  With one
    image the loss is 0 up to rounding.

    Args:
        student: Vectors of shape (N, D_s), float32 or float64.
        teacher: Vectors of shape (N, D_t); they get no gradient.
        gamma: Width of the kernel, positive.
        counted: Which images count, bool of shape (N,); None: all.

    Returns:
        A scalar.

    References:
        Peng, Jin, Liu, Zhou, Wu, Liu, Li, Zhang. Correlation Congruence for
        Knowledge Distillation. ICCV 2019, arXiv 1904.01802, the section on
        the generalized kernel.  Its part of instances, and its sampling of
        batches, are not in it.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> cc_loss(3 * rows, rows.flip(0), gamma=0.4).item()
        0.0
        >>> round(cc_loss(rows[:, :1] + 1, rows, gamma=0.4).item(), 3)
        0.127
    """
    gaps = _correlations(student, gamma) - _correlations(
        teacher.detach(), gamma
    )
    number = gaps.new_tensor(max(1, len(gaps)))
    if counted is not None:
        gaps = gaps.where(counted[:, None] & counted, 0)
        number = counted.sum().clamp(min=1)
    return gaps.square().sum() / number**2


def _correlations(rows: Tensor, gamma: float) -> Tensor:
    """The kernel of all pairs, (N, N)."""
    rows = unit_rows(rows)
    scaled = 2 * gamma * (rows @ rows.T)
    return math.exp(-2 * gamma) * (1 + scaled + scaled.square() / 2)


@MODELS.register_module()
class CCLoss(nn.Module):
    """``loss_weight`` times :func:`cc_loss`.

    By default it reads pooled vectors of image classifiers.  Correlations are
    those of the images of one process.

    Args:
        gamma: Width of the kernel, from 0.0001 to 10; 0.4 in the paper.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: If one is out of range.
    """

    kind = 'vectors'
    default_tap = dict(type='PooledTap')
    extra_repr = numbers_in_use

    def __init__(self, *, gamma: float, loss_weight: float) -> None:
        super().__init__()
        check_number('gamma', gamma, 0.0001, 10)
        check_weight(loss_weight=loss_weight)
        self.gamma = gamma
        self.loss_weight = loss_weight

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: object,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: Vectors of shape (N, D_s).
            teacher: Vectors of shape (N, D_t).
            labels: Not used; all losses have the same signature.
            weights: Shape (N,); images of weight 0 correlate with none, the
                size of the others does not matter.

        Returns:
            A scalar.

        Raises:
            ValueError: The shapes are others.
        """
        student, teacher, counted = prepare_vectors(student, teacher, weights)
        return self.loss_weight * cc_loss(
            student, teacher, gamma=self.gamma, counted=counted
        )

    @staticmethod
    def counted(
        student: Tensor,
        teacher: Tensor,
        labels: object,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Which images count: none, where there is one alone."""
        return related_images(student, weights, least=2)
