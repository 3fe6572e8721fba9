"""L1 distance of the boxes of student and teacher, as deltas.

N RoIs; a delta is the coder's (dx, dy, dw, dh), in units of its standard
deviations.
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_choice, check_switch, check_weight
from ..exceptions import MMKDTypeError, MMKDValueError
from .common.reduction import counted_sum, numbers_in_use

__all__ = ['BoxL1Loss', 'box_l1_loss']


def box_l1_loss(
    student: Tensor,
    teacher: Tensor,
    targets: Tensor | None = None,
    *,
    bounded: bool = False,
) -> Tensor:
    """``|dx| + |dy| + |dw| + |dh|`` of the difference of both deltas.

    Args:
        student: Deltas d^S of shape (N, 4), any floating type.
        teacher: Deltas d^T of shape (N, 4); they get no gradient.
        targets: Ground-truth deltas y, (N, 4); used if ``bounded``.
        bounded: Whether a row counts only where the teacher is nearer to the
            truth than the student, ``|d^T - y|_1 < |d^S - y|_1``.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 deltas).

    Raises:
        TypeError: ``bounded`` without ``targets``.
        ValueError: The shapes differ or are not (N, 4).

    References:
        Kay et al. Align and Distill: Unifying and Improving Domain Adaptive
        Object Detection. TMLR 2025, arXiv 2403.12029, the released code. The
        switch is that of Chen, Choi, Yu, Han, Chandraker. Learning Efficient
        Object Detection Models with Knowledge Distillation. NIPS 2017,
        Section 3.3, whose term pulls to the truth and is squared.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        >>> box_l1_loss(student, torch.zeros(1, 4)).tolist()
        [2.0]
    """
    shapes = [student, teacher, *([] if targets is None else [targets])]
    if student.ndim != 2 or any(x.shape != (len(student), 4) for x in shapes):
        raise MMKDValueError(
            'Expected deltas of one shape (N, 4) but got '
            f'{", ".join(str(tuple(x.shape)) for x in shapes)}; let the loss '
            "read from a tap of boxes, tap=dict(type='RoIBoxTap')."
        )
    dtype = torch.promote_types(student.dtype, teacher.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    student, teacher = student.to(dtype), teacher.detach().to(dtype)
    losses = (student - teacher).abs().sum(dim=1)
    if not bounded:
        return losses
    if targets is None:
        raise MMKDTypeError(
            'Expected the ground-truth deltas, of which `bounded=True` '
            "compares the distances, but got none: set rows='label' in the "
            'RoIBoxTap, for a box head that is trained on deltas.'
        )
    own = (student.detach() - targets).abs().sum(dim=1)
    other = (teacher - targets).abs().sum(dim=1)
    return losses.masked_fill(other >= own, 0)


@MODELS.register_module()
class BoxL1Loss(nn.Module):
    """``loss_weight`` times :func:`box_l1_loss`, normalised.

    Args:
        loss_weight: Factor of the loss, 0 or above.
        normalize: 'rows': the weighted sum over the rows divided by N, as
            MMDetection does with its own ``loss_bbox``. 'weights': divided
            by 4 times the sum of the weights, as CrossKD does.
        bounded: See :func:`box_l1_loss`.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.
    """

    kind = 'boxes'
    default_tap = dict(type='RoIBoxTap')
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        loss_weight: float = 1.0,
        normalize: str = 'rows',
        bounded: bool = False,
    ) -> None:
        super().__init__()
        check_weight(loss_weight=loss_weight)
        check_choice('normalize', normalize, 'rows', 'weights')
        check_switch(bounded=bounded)
        self.loss_weight = loss_weight
        self.normalize = normalize
        self.bounded = bounded

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: Tensor | None,
        weights: Tensor,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: Deltas of shape (N, 4).
            teacher: Deltas of shape (N, 4).
            labels: Ground-truth deltas of shape (N, 4), or None.
            weights: Of shape (N,), 0 or above; a row of weight 0 does not
                count.

        Returns:
            A scalar; 0 and attached to the graph if no row counts.
        """
        losses = box_l1_loss(student, teacher, labels, bounded=self.bounded)
        # A row of weight 0 may be noise, and even infinite.
        total = counted_sum(losses, weights)
        if self.normalize == 'rows':
            return self.loss_weight * total / max(len(losses), 1)
        # Clamped where no row counts: the sum is then 0.
        divisor = 4 * weights.detach().sum(dtype=losses.dtype)
        tiny = torch.finfo(losses.dtype).tiny
        return self.loss_weight * total / divisor.clamp(min=tiny)
