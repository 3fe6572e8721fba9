"""DKD, decoupled knowledge distillation: label and other classes apart.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from .reduction import (
    binary_kl,
    check_labels,
    check_non_negative,
    check_positive,
    log_odds,
    prepare_logits,
    softmax_kl,
    weighted_mean,
)


def dkd_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    beta: float,
    tau: float,
) -> Tensor:
    """Target-class and non-target-class distillation, weighed apart.

    With p = softmax(z / tau) and y the label::

        TCKD = tau^2 * KL((p^T_y, 1 - p^T_y) || (p^S_y, 1 - p^S_y))
        NCKD = tau^2 * KL(softmax of z^T / tau over the classes but y
                          || the same of z^S / tau)
        loss = alpha * TCKD + beta * NCKD

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        labels: Class ids of shape (N,), int64, each in 0 .. C - 1.
        alpha: Factor of TCKD.
        beta: Factor of NCKD.
        tau: Temperature, positive.

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
    student, teacher = prepare_logits(student, teacher)
    check_labels(labels, student)
    student, teacher = student / tau, teacher / tau
    is_target = torch.zeros_like(teacher, dtype=torch.bool)
    is_target = is_target.scatter(1, labels.unsqueeze(1), True)
    tckd = binary_kl(log_odds(student, labels), log_odds(teacher, labels))
    nckd = softmax_kl(student, teacher, masked=is_target)
    return (alpha * tckd + beta * nckd) * tau**2


@MODELS.register_module()
class DKDLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`dkd_loss`.

    Args:
        alpha: Factor of the target class, 0 or above.
        beta: Factor of the other classes, 0 or above.
        tau: Temperature, positive.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: An argument is not a number or out of its range.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float = 0.25,
        tau: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_positive(tau=tau)
        check_non_negative(alpha=alpha, beta=beta, loss_weight=loss_weight)
        self.alpha = alpha
        self.beta = beta
        self.tau = tau
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
            labels: Class ids of shape (N,), int64.
            weights: Row weights of shape (N,), 0 or above; see
                :func:`~mmkd_plugin.losses.reduction.weighted_mean`.

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
        )
        return self.loss_weight * weighted_mean(losses, weights)
