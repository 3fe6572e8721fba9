"""RC: KD, and the student's own logits with the label raised as a target.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_tau, check_weight
from .common.divergence import softmax_kl, weighted_sum
from .common.reduction import (
    check_labels,
    numbers_in_use,
    prepare_logits,
    weighted_mean,
)

__all__ = ['RCLoss', 'rc_loss']


def rc_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    beta: float,
    tau: float,
) -> Tensor:
    """KL divergences from the teacher and from a corrected student.

    With y the label, p(z) = softmax(z / tau), and z* equal to z^S but for
    z*_y = z^S_y + max z^S::

        loss = tau^2 * (alpha * KL(p(z^T) || p(z^S))
                        + beta * KL(p(z*) || p(z^S)))

    The target z* gets no gradient.  Where the largest of the student's logits
    is negative, it lowers the label, as in the authors' code.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        labels: Class ids y of shape (N,), int64, each in 0 .. C - 1.
        alpha: Factor of the teacher's part.
        beta: Factor of the corrected student's part.
        tau: Temperature, positive.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0 up
        to rounding.

    Raises:
        TypeError: ``labels`` is not int64.
        ValueError: The shapes of the tensors do not fit.

    References:
        The method RC in the code of Sun, Chen, Lyu, Chen, Wang. Knowledge
        Distillation with Refined Logits. ICCV 2025, arXiv 2408.07703, which
        compares RLD with it: alpha 1, beta 0.1, tau 4, beside the cross
        entropy.

    Example:
        >>> import torch
        >>> student = torch.tensor([[1.0, 0.0]])
        >>> labels = torch.tensor([0])
        >>> numbers = dict(alpha=1.0, beta=1.0, tau=1.0)
        >>> loss = rc_loss(student, student, labels, **numbers)
        >>> round(loss.item(), 4)  # the target is 2, 0
        0.0671
    """
    student, teacher = prepare_logits(student, teacher)
    check_labels(labels, student)
    own = student.detach()
    raised = own.amax(dim=1, keepdim=True)
    target = own.scatter_add(1, labels.unsqueeze(1), raised)
    return weighted_sum(
        student,
        (alpha, softmax_kl(student, teacher, tau=tau)),
        (beta, softmax_kl(student, target, tau=tau)),
    )


@MODELS.register_module()
class RCLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`rc_loss`.

    Args:
        alpha: Factor of the teacher's part, 0 or above.
        beta: Factor of the corrected student's part, 0 or above.
        tau: Temperature, positive.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: An argument is not a number or is out of range.
    """

    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float,
        tau: float,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_tau(tau=tau)
        check_weight(alpha=alpha, beta=beta, loss_weight=loss_weight)
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
                :func:`~mmkd_plugin.losses.common.reduction.weighted_mean`.

        Returns:
            A scalar; 0 and attached to the graph if N = 0.
        """
        losses = rc_loss(
            student,
            teacher,
            labels,
            alpha=self.alpha,
            beta=self.beta,
            tau=self.tau,
        )
        return self.loss_weight * weighted_mean(losses, weights)
