"""KD, knowledge distillation: match the teacher's softened probabilities.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_switch, check_tau, check_weight
from .common.divergence import softmax_kl, weighted_sum
from .common.reduction import (
    numbers_in_use,
    prepare_logits,
    weighted_mean,
)

__all__ = ['KDLoss', 'kd_loss']


def kd_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    tau: float,
    standardize: bool = False,
) -> Tensor:
    """KL divergence from the teacher's to the student's soft probabilities.

    ``tau^2 * KL(softmax(z^T / tau) || softmax(z^S / tau))``; the factor
    tau^2 keeps the gradient from shrinking as tau grows.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        tau: Temperature, positive.
        standardize: Whether both logits are first standardised by
            :func:`~mmkd_plugin.losses.common.reduction.standardize_logits`.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0 up
        to rounding.

    Raises:
        ValueError: The shapes of ``student`` and ``teacher`` differ.

    References:
        Hinton, Vinyals, Dean. Distilling the Knowledge in a Neural Network.
        arXiv 1503.02531, Section 2, Eq. 1 and the remark on 1 / T^2.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, 0.0], [2.0, 1.0]])
        >>> teacher = torch.tensor([[0.0, 2.0], [2.0, 1.0]])
        >>> [round(x, 4) for x in kd_loss(student, teacher, tau=1.0).tolist()]
        [0.3278, 0.0]
    """
    student, teacher = prepare_logits(
        student, teacher, standardize=standardize
    )
    kl = softmax_kl(student, teacher, tau=tau)
    return weighted_sum(student, (1.0, kl))


@MODELS.register_module()
class KDLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`kd_loss`.

    Args:
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
        tau: float,
        loss_weight: float = 1.0,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        check_switch(standardize=standardize)
        check_tau(tau=tau)
        check_weight(loss_weight=loss_weight)
        self.tau = tau
        self.loss_weight = loss_weight
        self.standardize = standardize

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: Tensor | None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: Logits of shape (N, C).
            teacher: Logits of shape (N, C).
            labels: Not used; all losses have the same signature.
            weights: Row weights of shape (N,), 0 or above; see
                :func:`~mmkd_plugin.losses.common.reduction.weighted_mean`.

        Returns:
            A scalar; 0 and attached to the graph if N = 0.
        """
        losses = kd_loss(
            student, teacher, tau=self.tau, standardize=self.standardize
        )
        return self.loss_weight * weighted_mean(losses, weights)
