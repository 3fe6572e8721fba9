"""LD, localization distillation: the distributions of the sides of a box.

Shapes: N places of a dense head (anchors or points), 4 sides of a box, and
R + 1 bins, the distances 0 .. R in units of the stride, with one softmax.
"""

from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_choice, check_tau, check_weight
from ..exceptions import MMKDValueError
from .common.divergence import softmax_kl, weighted_sum
from .common.reduction import (
    counted_sum,
    numbers_in_use,
    per_weight,
    prepare_logits,
)

__all__ = ['LDLoss', 'ld_loss']


def ld_loss(student: Tensor, teacher: Tensor, *, tau: float) -> Tensor:
    """KL divergence of the distributions of the four sides, their mean.

    ``tau^2 * mean over sides of KL(softmax(z^T / tau) || softmax(z^S /
    tau))``; the divergence is the sum over the bins.

    Args:
        student: Logits z^S of the bins, (N, 4, R + 1), any floating type.
        teacher: Logits z^T of shape (N, 4, R + 1); they get no gradient.
        tau: Temperature, positive.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0 up
        to rounding.

    Raises:
        ValueError: The shapes differ or are not (N, 4, R + 1).

    References:
        Zheng, Ye, Wang, Ren, Zuo, Hou, Cheng. Localization Distillation for
        Dense Object Detection. CVPR 2022, arXiv 2102.12252. The released
        code, and ``LDHead`` of MMDetection, take the mean over the bins.

    Example:
        >>> import torch
        >>> student = torch.zeros(1, 4, 2)
        >>> teacher = torch.zeros(1, 4, 2)
        >>> teacher[0, 0, 1] = 2.0
        >>> round(ld_loss(student, teacher, tau=1.0).item(), 4)
        0.082
    """
    if student.ndim != 3 or student.shape[1] != 4:
        raise MMKDValueError(
            'Expected argument `student` to be logits of bins, (N, 4, R + 1), '
            f'but got {tuple(student.shape)}; let the loss read from a tap of '
            "bins, tap=dict(type='DenseBinTap')."
        )
    if student.shape != teacher.shape:
        raise MMKDValueError(
            'Expected arguments `student` and `teacher` to be of one shape '
            f'(N, 4, R + 1) but got {tuple(student.shape)} and '
            f'{tuple(teacher.shape)}; both heads need the same `reg_max`.'
        )
    own, other = prepare_logits(student.flatten(0, 1), teacher.flatten(0, 1))
    sides = weighted_sum(own, (1.0, softmax_kl(own, other, tau=tau)))
    return sides.unflatten(0, (-1, 4)).mean(dim=1)


@MODELS.register_module()
class LDLoss(nn.Module):
    """``loss_weight`` times :func:`ld_loss`, summed or normalised.

    The settings of the papers, whose codes divide differently:

    * LD (R = 16, tau 10, weight 0.25): ``LDLoss(tau=10.0,
      loss_weight=0.25 / 17, normalize='sum')``. Its authors take the mean of
      the 17 bins, where this takes the sum, and divide the sum over sides by
      4, as the mean of this does. They do not divide by the sum of the
      weights, though they do so with the head's own box losses: the loss
      grows with the number of positive places of a process.
    * CrossKD for GFL (tau 1, weight 4): ``LDLoss(tau=1.0, loss_weight=4.0,
      normalize='weights')``. Its authors sum over the bins, divide by 4 for
      the sides, and by the sum of the weights of one process.

    Args:
        tau: Temperature, positive.
        loss_weight: Factor of the loss, 0 or above.
        normalize: 'sum': the weighted sum over the rows. 'weights': that
            divided by the sum of the weights, averaged over the processes.

    Raises:
        ValueError: An argument is no number, out of range, or no choice.
    """

    kind = 'bins'
    default_tap = dict(type='DenseBinTap')
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        tau: float,
        loss_weight: float,
        normalize: str,
    ) -> None:
        super().__init__()
        check_tau(tau=tau)
        check_weight(loss_weight=loss_weight)
        check_choice('normalize', normalize, 'sum', 'weights')
        self.tau = tau
        self.loss_weight = loss_weight
        self.normalize = normalize

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: Tensor | None,
        weights: Tensor,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: Logits of shape (N, 4, R + 1).
            teacher: Logits of shape (N, 4, R + 1).
            labels: Not used; all losses have the same signature.
            weights: Of shape (N,), 0 or above; a row of weight 0 does not
                count.

        Returns:
            A scalar; 0 and attached to the graph if no row counts.

        Raises:
            ValueError: The shapes of the tensors do not fit.
        """
        losses = ld_loss(student, teacher, tau=self.tau)
        reduce = counted_sum if self.normalize == 'sum' else per_weight
        return self.loss_weight * reduce(losses, weights)
