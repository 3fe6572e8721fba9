"""DKD, decoupled knowledge distillation: label and other classes apart.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_switch, check_tau, check_weight
from .common.divergence import class_kl, softmax_kl, weighted_sum
from .common.reduction import (
    check_labels,
    numbers_in_use,
    prepare_logits,
    weighted_mean,
)

__all__ = ['DKDLoss', 'dkd_loss']


def dkd_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    beta: float,
    tau: float,
    standardize: bool = False,
) -> Tensor:
    """Target-class and non-target-class distillation, weighted separately.

    With p = softmax(z / tau) and y the label::

        TCKD = tau^2 * KL((p^T_y, 1 - p^T_y) || (p^S_y, 1 - p^S_y))
        NCKD = tau^2 * KL(softmax of z^T / tau over all classes but y
                          || the same of z^S / tau)
        loss = alpha * TCKD + beta * NCKD

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        labels: Class ids of shape (N,), int64, each in 0 .. C - 1.
        alpha: Factor of TCKD.
        beta: Factor of NCKD.
        tau: Temperature, positive.
        standardize: Whether both logits are first standardised by
            :func:`~mmkd_plugin.losses.common.reduction.standardize_logits`.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits).

    Raises:
        TypeError: ``labels`` is not int64.
        ValueError: The shapes of the tensors do not fit.

    References:
        Zhao, Cui, Song, Qiu, Liang. Decoupled Knowledge Distillation. CVPR
        2022, arXiv 2203.08679, Section 3, Eq. 7; the factor tau^2 is in the
        authors' code, not in the equation.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, 0.0, 0.0]])
        >>> teacher = torch.tensor([[2.0, 1.0, 0.0]])
        >>> labels = torch.tensor([0])
        >>> loss = dkd_loss(
        ...     student, teacher, labels, alpha=1.0, beta=0.25, tau=1.0
        ... )
        >>> round(loss.item(), 4)
        0.2568
    """
    student, teacher = prepare_logits(
        student, teacher, standardize=standardize
    )
    check_labels(labels, student)
    is_target = torch.zeros_like(teacher, dtype=torch.bool)
    is_target.scatter_(1, labels.unsqueeze(1), True)
    nckd = softmax_kl(student, teacher, tau=tau, masked=is_target)
    tckd = class_kl(student, teacher, labels, labels, tau=tau)
    return weighted_sum(student, (alpha, tckd), (beta, nckd))


@MODELS.register_module()
class DKDLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`dkd_loss`.

    Args:
        alpha: Factor of the target class, 0 or above.
        beta: Factor of the other classes, 0 or above.
        tau: Temperature, positive.
        loss_weight: Factor of the loss, 0 or above.
        standardize: Whether both logits are first standardised, as in
            `Logit Standardization <https://arxiv.org/abs/2403.01427>`_.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.
    """

    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float,
        tau: float,
        loss_weight: float = 1.0,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        check_switch(standardize=standardize)
        check_tau(tau=tau)
        check_weight(alpha=alpha, beta=beta, loss_weight=loss_weight)
        self.alpha = alpha
        self.beta = beta
        self.tau = tau
        self.loss_weight = loss_weight
        self.standardize = standardize

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
            labels: Class ids of shape (N,), int64.
            weights: Row weights of shape (N,), 0 or above; see
                :func:`~mmkd_plugin.losses.common.reduction.weighted_mean`.

        Returns:
            A scalar; 0 and attached to the graph if N = 0.
        """
        losses = dkd_loss(
            student,
            teacher,
            labels,
            alpha=self.alpha,
            beta=self.beta,
            tau=self.tau,
            standardize=self.standardize,
        )
        return self.loss_weight * weighted_mean(losses, weights)
