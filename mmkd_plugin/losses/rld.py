"""RLD, refined logit distillation: a teacher corrected by the label.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

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

__all__ = ['RLDLoss', 'rld_loss']


def rld_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    beta: float,
    tau_scd: float,
    tau_mcd: float,
    standardize: bool = False,
) -> Tensor:
    """Sample confidence and masked correlation distillation.

    With y the label and, in SCD, p = softmax(z / tau_scd)::

        SCD = tau_scd^2 * KL((max p^T, 1 - max p^T) || (p^S_y, 1 - p^S_y))
        M = {i : z^T_i >= z^T_y}
        MCD = tau_mcd^2 * KL(softmax of z^T / tau_mcd over the classes not in M
                             || the same of z^S / tau_mcd)
        loss = alpha * SCD + beta * MCD

    SCD gives the teacher's confidence to the label, whichever class the
    teacher predicts. MCD matches only the classes that the teacher ranks
    below the label; it is 0 with gradient 0 where fewer than two remain, and
    therefore always if C = 2.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        labels: Class ids of shape (N,), int64, each in 0 .. C - 1.
        alpha: Factor of SCD.
        beta: Factor of MCD.
        tau_scd: Temperature of SCD, positive.
        tau_mcd: Temperature of MCD, positive.
        standardize: Whether both logits are standardised, before the mask, by
            :func:`~mmkd_plugin.losses.common.reduction.standardize_logits`.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits).

    Raises:
        TypeError: ``labels`` is not int64.
        ValueError: The shapes of the tensors do not fit.

    References:
        Sun, Chen, Lyu, Chen, Wang. Knowledge Distillation with Refined
        Logits. ICCV 2025, arXiv 2408.07703, Section "Method", the terms SCD
        and MCD. The paper has one temperature, the authors' code two.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
        >>> teacher = torch.tensor([[2.0, 3.0, 1.0, 0.0]])
        >>> labels = torch.tensor([0])
        >>> loss = rld_loss(
        ...     student, teacher, labels,
        ...     alpha=1.0, beta=1.0, tau_scd=1.0, tau_mcd=1.0,
        ... )
        >>> round(loss.item(), 4)
        0.4549
    """
    student, teacher = prepare_logits(
        student, teacher, standardize=standardize
    )
    check_labels(labels, student)
    masked = teacher >= teacher.gather(1, labels.unsqueeze(1))
    mcd = softmax_kl(student, teacher, tau=tau_mcd, masked=masked)
    top = teacher.argmax(dim=1)
    scd = class_kl(student, teacher, labels, top, tau=tau_scd)
    return weighted_sum(student, (alpha, scd), (beta, mcd))


@MODELS.register_module()
class RLDLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`rld_loss`.

    Args:
        alpha: Factor of SCD, 0 or above.
        beta: Factor of MCD, 0 or above.
        tau_scd: Temperature of SCD, positive.
        tau_mcd: Temperature of MCD, positive.
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
        tau_scd: float,
        tau_mcd: float,
        loss_weight: float = 1.0,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        check_switch(standardize=standardize)
        check_tau(tau_scd=tau_scd, tau_mcd=tau_mcd)
        check_weight(alpha=alpha, beta=beta, loss_weight=loss_weight)
        self.alpha = alpha
        self.beta = beta
        self.tau_scd = tau_scd
        self.tau_mcd = tau_mcd
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
        losses = rld_loss(
            student,
            teacher,
            labels,
            alpha=self.alpha,
            beta=self.beta,
            tau_scd=self.tau_scd,
            tau_mcd=self.tau_mcd,
            standardize=self.standardize,
        )
        return self.loss_weight * weighted_mean(losses, weights)
