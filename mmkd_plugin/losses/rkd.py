"""RKD, relational distillation: distances and angles between images.

Shapes: N images, D numbers of a vector, which may be others of the teacher.
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..arguments import check_weight
from .common.reduction import numbers_in_use
from .common.vectors import prepare_vectors, related_images

# Numbers of the differences and angles at a time: 64 MiB of float32.
SIZE = 2**24
# Two images have no direction if they are nearer than this, relative to the
# mean distance: it would be that of rounding errors.
NEAR = 1e-6

__all__ = ['RKDLoss', 'rkd_angle_loss', 'rkd_distance_loss']


def rkd_distance_loss(
    student: Tensor, teacher: Tensor, *, counted: Tensor | None = None
) -> Tensor:
    """Difference of the distances between the images of a batch.

    With the distances D of all pairs::

        d = D / mean of the positive D
        loss = mean_ij smooth_l1(d_student - d_teacher)

    Equal rows have distance 0 with gradient 0.  With one image it is 0, and
    with two up to rounding.

    Args:
        student: Vectors of shape (N, D_s), float32 or float64.
        teacher: Vectors of shape (N, D_t); they get no gradient.
        counted: Which images count, bool of shape (N,); None: all.

    Returns:
        A scalar.

    References:
        Park, Kim, Lu, Cho. Relational Knowledge Distillation. CVPR 2019,
        arXiv 1904.05068, Section 3.2.1; the mean is over the positive
        distances of all ordered pairs and the loss over all N^2 pairs, as in
        the authors' code.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[0.0], [1.0], [3.0]])
        >>> rkd_distance_loss(5 * rows - 1, rows).item()
        0.0
        >>> round(rkd_distance_loss(rows.square(), rows).item(), 4)
        0.0247
    """
    pairs = _both(counted)
    gaps = F.smooth_l1_loss(
        _relative_distances(student, pairs),
        _relative_distances(teacher.detach(), pairs),
        reduction='sum',
    )
    return gaps / _number(student, counted) ** 2


def rkd_angle_loss(
    student: Tensor, teacher: Tensor, *, counted: Tensor | None = None
) -> Tensor:
    """Difference of the angles between three images of a batch.

    With the direction u_ij from image i to image j::

        u_ij = (e_j - e_i) / ||e_j - e_i||
        loss = mean_ijk smooth_l1(<u_ij, u_ik>_student - <u_ij, u_ik>_teacher)

    Two images that are equal up to rounding have direction 0 with gradient 0.
    There are N^3 angles of N^2 vectors; beyond a few at a time, they are
    computed again in the backward pass.

    Args:
        student: Vectors of shape (N, D_s), float32 or float64.
        teacher: Vectors of shape (N, D_t); they get no gradient.
        counted: Which images count, bool of shape (N,); None: all.

    Returns:
        A scalar.

    References:
        Park, Kim, Lu, Cho. Relational Knowledge Distillation. CVPR 2019,
        arXiv 1904.05068, Section 3.2.2; the mean is over all N^3 triples, as
        in the authors' code.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(rkd_angle_loss(2 * rows + 1, rows).item(), 4)
        0.0
        >>> round(rkd_angle_loss(rows[:, :1] + rows[:, 1:], rows).item(), 3)
        0.111
    """
    teacher, pairs = teacher.detach(), _both(counted)
    near = [
        NEAR * _mean_positive(_distances(rows.detach(), pairs))
        for rows in (student, teacher)
    ]
    count = len(student)
    widest = max(count, student.shape[1], teacher.shape[1])
    step = max(1, SIZE // max(1, count * widest))
    # The sum over no image is attached too.
    total = student[:0].sum()
    for start in range(0, count, step):
        part = student, teacher, near, pairs, slice(start, start + step)
        if step < count:
            total = total + checkpoint(_angle_gaps, *part, use_reentrant=False)
        else:
            total = total + _angle_gaps(*part)
    return total / _number(student, counted) ** 3


def _both(counted: Tensor | None) -> Tensor | None:
    """Which pairs count, (N, N)."""
    return None if counted is None else counted[:, None] & counted


def _number(rows: Tensor, counted: Tensor | None) -> int | Tensor:
    """How many images count, at least 1."""
    if counted is None:
        return max(1, len(rows))
    return counted.sum().clamp(min=1).to(rows.dtype)


def _distances(rows: Tensor, pairs: Tensor | None) -> Tensor:
    # From differences: scalar products would cancel.
    found = torch.cdist(
        rows, rows, compute_mode='donot_use_mm_for_euclid_dist'
    )
    return found if pairs is None else found.where(pairs, 0)


def _mean_positive(distances: Tensor) -> Tensor:
    return distances.sum() / (distances > 0).sum().clamp(min=1)


def _relative_distances(rows: Tensor, pairs: Tensor | None) -> Tensor:
    distances = _distances(rows, pairs)
    mean = _mean_positive(distances)
    # Distances of a mean of 0 are all 0.
    return distances / mean.masked_fill(mean == 0, 1)


def _angle_gaps(
    student: Tensor,
    teacher: Tensor,
    near: list[Tensor],
    pairs: Tensor | None,
    at: slice,
) -> Tensor:
    """The sum over some images i, and all j and k."""
    own, other = (
        _directions(rows, limit, pairs, at)
        for rows, limit in zip((student, teacher), near)
    )
    return F.smooth_l1_loss(own @ own.mT, other @ other.mT, reduction='sum')


def _directions(
    rows: Tensor, limit: Tensor, pairs: Tensor | None, at: slice
) -> Tensor:
    """From some images to all, (n, N, D)."""
    gaps = rows[None] - rows[at, None]
    lengths = torch.linalg.vector_norm(gaps, dim=2, keepdim=True)
    none = lengths <= limit
    if pairs is not None:
        none = none | ~pairs[at, :, None]
    return gaps / lengths.masked_fill(none, torch.inf)


@MODELS.register_module()
class RKDLoss(nn.Module):
    """Distances and angles between the images of a batch.

    ``loss_weight`` times the sum of ``distance_weight`` times
    :func:`rkd_distance_loss` and ``angle_weight`` times
    :func:`rkd_angle_loss`.  By default it reads pooled vectors of image
    classifiers.  Relations are those of the images of one process.

    Args:
        distance_weight: Factor of the distances, 0 or above; 25 in
            comparisons of methods.
        angle_weight: Factor of the angles, 0 or above; 50 in comparisons of
            methods.  0 leaves them out, whose cost grows with N^3.
        loss_weight: Factor of both, 0 or above.

    Raises:
        ValueError: If one is out of range.
    """

    kind = 'vectors'
    default_tap = dict(type='PooledTap')
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        distance_weight: float,
        angle_weight: float,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_weight(
            distance_weight=distance_weight,
            angle_weight=angle_weight,
            loss_weight=loss_weight,
        )
        self.distance_weight = distance_weight
        self.angle_weight = angle_weight
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
            weights: Shape (N,); images of weight 0 have no relations, the
                size of the others does not matter.

        Returns:
            A scalar.

        Raises:
            ValueError: The shapes are others.
        """
        student, teacher, counted = prepare_vectors(student, teacher, weights)
        loss = student[:0].sum()
        if self.distance_weight:
            term = rkd_distance_loss(student, teacher, counted=counted)
            loss = loss + self.distance_weight * term
        if self.angle_weight:
            term = rkd_angle_loss(student, teacher, counted=counted)
            loss = loss + self.angle_weight * term
        return self.loss_weight * loss

    @staticmethod
    def counted(
        student: Tensor,
        teacher: Tensor,
        labels: object,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Which images count: none, where there are not three.

        Two have one distance, which is the mean distance.
        """
        return related_images(student, weights, least=3)
