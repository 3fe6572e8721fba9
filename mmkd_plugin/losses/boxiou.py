"""Box IoU: how much the boxes of student and teacher overlap.

N boxes of a dense head; a box is its corners (x1, y1, x2, y2), in pixels.
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_choice, check_weight
from ..exceptions import MMKDValueError
from .common.reduction import (
    check_weights,
    numbers_in_use,
    per_positive,
    per_weight,
)

__all__ = ['BoxIoULoss', 'box_iou_loss']

MODES = ('giou', 'log_iou')
# Square pixels up to which an area is none, and nothing is divided by it.
NO_AREA = 1e-6
# MMDetection's least IoU of a logarithm.
LEAST_IOU = 1e-6


def box_iou_loss(student: Tensor, teacher: Tensor, *, mode: str) -> Tensor:
    """1 - GIoU, or -log IoU, of the boxes of a row.

    With the areas I of the intersection, U of the union, and E of the
    smallest box around both::

        giou:     1 - (I / U - (E - U) / E)
        log_iou:  -log(max(I / U, 1e-6)), as MMDetection's ``IoULoss``

    A quotient is 0, with gradient 0, where its divisor is at most 1e-6
    square pixels, as for two boxes without area. A box with x2 < x1 or y2 <
    y1 has no area either. Boxes that do not touch have an IoU of 0, and
    ``log_iou`` then has the gradient 0.

    Args:
        student: Corners of shape (N, 4), any floating type.
        teacher: Corners of shape (N, 4); they get no gradient.
        mode: 'giou' or 'log_iou'.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 corners): of
        'giou' in 0 .. 2, of 'log_iou' in 0 .. 13.9.

    Raises:
        ValueError: The shapes differ or are not (N, 4).

    References:
        Rezatofighi, Tsoi, Gwak, Sadeghian, Reid, Savarese. Generalized
        Intersection over Union: A Metric and a Loss for Bounding Box
        Regression. CVPR 2019, arXiv 1902.09630, Algorithm 2. The logarithm:
        Yu, Jiang, Wang, Cao, Huang. UnitBox. ACM MM 2016, arXiv 1608.01471.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> teacher = torch.tensor([[1.0, 0.0, 3.0, 2.0]])
        >>> round(box_iou_loss(student, teacher, mode='giou').item(), 4)
        0.6667
        >>> round(box_iou_loss(student, teacher, mode='log_iou').item(), 4)
        1.0986
    """
    if student.ndim != 2 or not (len(student), 4) == student.shape == (
        teacher.shape
    ):
        raise MMKDValueError(
            'Expected the corners of boxes, both of one shape (N, 4), but got '
            f'{tuple(student.shape)} and {tuple(teacher.shape)}; let the loss '
            "read from a tap of corners, tap=dict(type='DenseBoxTap')."
        )
    dtype = torch.promote_types(student.dtype, teacher.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    student, teacher = student.to(dtype), teacher.detach().to(dtype)
    low, high = student.split(2, dim=1)
    other_low, other_high = teacher.split(2, dim=1)
    shared = _area(
        torch.maximum(low, other_low), torch.minimum(high, other_high)
    )
    union = _area(low, high) + _area(other_low, other_high) - shared
    iou = _quotient(shared, union)
    if mode == 'log_iou':
        return -iou.clamp(min=LEAST_IOU).log()
    around = _area(
        torch.minimum(low, other_low), torch.maximum(high, other_high)
    )
    return 1 - iou + _quotient(around - union, around)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(dim=1)


def _quotient(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole; 0 where the whole is nothing."""
    return part / whole.masked_fill(whole <= NO_AREA, torch.inf)


@MODELS.register_module()
class BoxIoULoss(nn.Module):
    """``loss_weight`` times :func:`box_iou_loss`, normalised.

    Args:
        mode: 'giou': as BCKD has it, and CrossKD for RetinaNet and ATSS.
            'log_iou': as CrossKD has it for FCOS.
        loss_weight: Factor of the loss, 0 or above.
        normalize: 'positives': the weighted sum over the rows divided by the
            number of positive ones, as dense heads do with their own box
            losses. 'weights': divided by the sum of the weights. Both are
            averaged over the processes.

    Raises:
        ValueError: An argument is no number, out of range, or no choice.
    """

    kind = 'corners'
    default_tap = dict(type='DenseBoxTap')
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        mode: str = 'giou',
        loss_weight: float,
        normalize: str = 'positives',
    ) -> None:
        super().__init__()
        check_choice('mode', mode, *MODES)
        check_weight(loss_weight=loss_weight)
        check_choice('normalize', normalize, 'positives', 'weights')
        self.mode = mode
        self.loss_weight = loss_weight
        self.normalize = normalize

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: Corners of shape (N, 4), in pixels.
            teacher: Corners of shape (N, 4).
            labels: 1 for a positive row and 0 for another, (N,), int64.
            weights: Of shape (N,), 0 or above; a row of weight 0 does not
                count.

        Returns:
            A scalar; 0 and attached to the graph if no row counts.

        Raises:
            ValueError: The shapes of the tensors do not fit.
        """
        check_weights(weights, student)
        # A row of weight 0 may be noise, and even infinite.
        unused = (weights == 0).unsqueeze(1)
        losses = box_iou_loss(
            student.masked_fill(unused, 0),
            teacher.masked_fill(unused, 0),
            mode=self.mode,
        )
        if self.normalize == 'positives':
            total = per_positive(losses, weights, labels > 0)
        else:
            total = per_weight(losses, weights)
        return self.loss_weight * total
