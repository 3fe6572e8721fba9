"""BCKD, binary classification distillation: every sigmoid of a dense head.

Shapes: N places of a dense head (anchors or points), C classes, each with a
sigmoid of its own.
"""

from functools import partial

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ..arguments import check_weight
from .common.binary import by_rows, signs
from .common.divergence import Divergence, weighted_sum
from .common.reduction import (
    check_labels,
    numbers_in_use,
    per_positive,
    prepare_logits,
)

__all__ = ['BCKDLoss', 'bckd_loss']


def bckd_loss(student: Tensor, teacher: Tensor, *, beta: float) -> Tensor:
    """Binary cross entropy to the teacher, weighted by the distance to it.

    With ``p = sigmoid(z^S)`` and ``q = sigmoid(z^T)``::

        loss = sum_c BCE(p_c, q_c) * |p_c - q_c| ** beta

    The factor has a gradient too. It is what makes the loss 0 where both are
    equal, for the cross entropy itself is then the entropy of q; and it keeps
    the many classes that are background in both from counting.

    It is also the class term of CrossKD, "KD-QFL" in its code, where the
    student's logits come from the teacher's head, and at ``beta=0`` the plain
    cross entropy that its branch for Deformable DETR has.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        beta: Exponent, 0 or above. Below 1 the slope is infinite on both
            sides of ``p_c = q_c``; there the gradient is 0, as at any beta.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0.

    Raises:
        ValueError: The shapes of ``student`` and ``teacher`` differ.

    References:
        Yang, Zhou, Li, Qiao, Li, Yang, Wang, Li. Bridging Cross-task Protocol
        Inconsistency for Distillation in Dense Object Detection. ICCV 2023,
        arXiv 2308.14286, the section on binary classification distillation.
        Wang et al. CrossKD: Cross-Head Knowledge Distillation for Object
        Detection. CVPR 2024, arXiv 2306.11369, the released code.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, -2.0], [2.0, -2.0]])
        >>> teacher = torch.tensor([[2.0, -2.0], [2.0, -2.0]])
        >>> values = bckd_loss(student, teacher, beta=1.0)
        >>> [round(x, 4) for x in values.tolist()]
        [0.2639, 0.0]
    """
    student, teacher = prepare_logits(student, teacher)
    part = by_rows(partial(_part, beta), student.detach(), teacher)
    return weighted_sum(student, (1.0, Divergence(*part, tau=1.0)))


def _part(
    beta: float, student: Tensor, teacher: Tensor
) -> tuple[Tensor, Tensor]:
    """Losses of some rows, and their gradient.

    Classes with a negative student's logit are turned into their opposite,
    ``1 - p`` and ``1 - q``, which changes nothing but the sign of the
    gradient: p is then at least 1/2, and 1 - p keeps its digits.
    """
    sign = signs(student)
    size = student.abs()
    rest = torch.sigmoid(-size)  # 1 - p
    target = torch.sigmoid((teacher * sign).neg_())  # 1 - q
    entropy = size.mul(target).sub_(F.logsigmoid(size))
    slope = target.sub_(rest)  # p - q, also the gradient of the entropy
    if beta == 0:
        return entropy.sum(dim=1), slope.mul_(sign)
    # Gradient of |p - q|^beta: p' = p (1 - p), and 0 at p = q.
    rest.addcmul_(rest, rest, value=-1).mul_(entropy).mul_(slope.sign())
    gap = slope.abs()
    if beta == 1:
        rest.addcmul_(slope, gap)
    else:
        powers = gap.pow(beta - 1).masked_fill_(gap == 0, 0)
        rest.mul_(beta).addcmul_(slope, gap).mul_(powers)
        gap.mul_(powers)
    return entropy.mul_(gap).sum(dim=1), rest.mul_(sign)


@MODELS.register_module()
class BCKDLoss(nn.Module):
    """``loss_weight`` times :func:`bckd_loss`, per positive place.

    The sum over all places, background too, is divided by the number of
    positive ones, averaged over the processes, as dense heads divide their
    own losses.

    Args:
        beta: Exponent, 0 or above.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: An argument is no number or out of range.
    """

    kind = 'sigmoid'
    default_tap = dict(type='DenseHeadTap')
    extra_repr = numbers_in_use

    def __init__(self, *, beta: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_weight(beta=beta, loss_weight=loss_weight)
        self.beta = beta
        self.loss_weight = loss_weight

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: Logits of shape (N, C).
            teacher: Logits of shape (N, C).
            labels: Class ids of shape (N,), int64; C for background. They
                only tell which places are positive.
            weights: Row weights of shape (N,), 0 or above; see
                :func:`~mmkd_plugin.losses.common.reduction.per_positive`.

        Returns:
            A scalar; 0 and attached to the graph if no row counts.

        Raises:
            TypeError, ValueError: The tensors do not fit.
        """
        check_labels(labels, student)
        losses = bckd_loss(student, teacher, beta=self.beta)
        positives = labels < student.shape[1]
        return self.loss_weight * per_positive(losses, weights, positives)
