"""Binary DKD: decoupled distillation where each class has a sigmoid.

Shapes: N places of a dense head (anchors or points), C classes, each with a
sigmoid of its own.
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_tau, check_weight
from .common.binary import binary_class_kl, binary_kl
from .common.divergence import weighted_sum
from .common.reduction import (
    check_labels,
    numbers_in_use,
    per_positive,
    positive_rows,
    prepare_logits,
)

__all__ = ['BinaryDKDLoss', 'binary_dkd_loss']


def binary_dkd_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    beta: float,
    tau: float,
) -> Tensor:
    """Label and other classes, weighted separately, of sigmoids.

    With p = sigmoid(z / tau), y the label, and KL(q || p) the divergence of
    (q, 1 - q) and (p, 1 - p)::

        TCKD = tau^2 * KL(p^T_y || p^S_y)
        NCKD = tau^2 * sum over the classes but y of KL(p^T_c || p^S_c)
        loss = alpha * TCKD + beta * NCKD

    No paper has it; it is DKD carried over to sigmoids. DKD's NCKD compares
    distributions over the other classes. Sigmoids have none, and a softmax
    over logits that all are near -5, as those of a dense head, would be
    almost uniform in both models.

    A place without label, which is background, has no target class: its loss
    is 0, with gradient 0.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        labels: Class ids of shape (N,), int64; C for none.
        alpha: Factor of TCKD.
        beta: Factor of NCKD.
        tau: Temperature, positive.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0 up
        to rounding.

    Raises:
        TypeError: ``labels`` is not int64.
        ValueError: The shapes of the tensors do not fit.

    References:
        Zhao, Cui, Song, Qiu, Liang. Decoupled Knowledge Distillation. CVPR
        2022, arXiv 2203.08679, Section 3, Eq. 7, for softmax.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
        >>> teacher = torch.tensor([[2.0, 1.0], [2.0, 1.0]])
        >>> labels = torch.tensor([0, 2])  # the second is background
        >>> losses = binary_dkd_loss(
        ...     student, teacher, labels, alpha=1.0, beta=0.5, tau=1.0
        ... )
        >>> [round(x, 4) for x in losses.tolist()]
        [0.3833, 0.0]
    """
    student, teacher = prepare_logits(student, teacher)
    check_labels(labels, student)
    classes = student.shape[1]
    target = labels.clamp(max=classes - 1)
    is_target = torch.zeros_like(teacher, dtype=torch.bool)
    is_target.scatter_(1, target.unsqueeze(1), True)
    nckd = binary_kl(student, teacher, tau=tau, masked=is_target)
    tckd = binary_class_kl(student, teacher, target, target, tau=tau)
    losses = weighted_sum(student, (alpha, tckd), (beta, nckd))
    return losses.masked_fill(labels >= classes, 0)


@MODELS.register_module()
class BinaryDKDLoss(nn.Module):
    """``loss_weight`` times :func:`binary_dkd_loss`, per positive place.

    Only positive places have a loss. The sum is divided by their number,
    averaged over the processes: a mean over all places, of which about one in
    a hundred is positive, would hardly move the student.

    Args:
        alpha: Factor of the label, 0 or above.
        beta: Factor of the other classes, 0 or above.
        tau: Temperature, positive.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: An argument is no number or out of range.
    """

    kind = 'sigmoid'
    default_tap = dict(type='DenseHeadTap', rows='positive')
    extra_repr = numbers_in_use
    counted = staticmethod(positive_rows)

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
            labels: Class ids of shape (N,), int64; C for background.
            weights: Row weights of shape (N,), 0 or above; see
                :func:`~mmkd_plugin.losses.common.reduction.per_positive`.

        Returns:
            A scalar; 0 and attached to the graph if no row counts.

        Raises:
            TypeError, ValueError: The tensors do not fit.
        """
        losses = binary_dkd_loss(
            student,
            teacher,
            labels,
            alpha=self.alpha,
            beta=self.beta,
            tau=self.tau,
        )
        positives = labels < student.shape[1]
        return self.loss_weight * per_positive(losses, weights, positives)
