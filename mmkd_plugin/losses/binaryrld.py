"""Binary RLD: refined logit distillation where each class has a sigmoid.

Shapes: N places of a dense head (anchors or points), C classes, each with a
sigmoid of its own.
"""

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

__all__ = ['BinaryRLDLoss', 'binary_rld_loss']


def binary_rld_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    beta: float,
    tau_scd: float,
    tau_mcd: float,
) -> Tensor:
    """Sample confidence and masked correlation distillation of sigmoids.

    With p = sigmoid(z / tau), y the label, and KL(q || p) the divergence of
    (q, 1 - q) and (p, 1 - p)::

        SCD = tau_scd^2 * KL(max_c p^T_c || p^S_y)
        MCD = tau_mcd^2 * sum of KL(p^T_c || p^S_c) over the classes with
              z^T_c < z^T_y
        loss = alpha * SCD + beta * MCD

    No paper has it; it is RLD carried over to sigmoids. SCD is the same, as
    it compares two numbers of (p, 1 - p) there too. RLD's MCD compares
    distributions over the classes that are left. Sigmoids have none, and a
    softmax over logits that all are near -5, as those of a dense head, would
    be almost uniform in both models. Unlike RLD's, it is also defined where
    one class is left.

    A place without label, which is background, has nothing to refine: its
    loss is 0, with gradient 0.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        labels: Class ids of shape (N,), int64; C for none.
        alpha: Factor of SCD.
        beta: Factor of MCD.
        tau_scd: Temperature of SCD, positive.
        tau_mcd: Temperature of MCD, positive.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0 up
        to rounding.

    Raises:
        TypeError: ``labels`` is not int64.
        ValueError: The shapes of the tensors do not fit.

    References:
        Sun, Chen, Lyu, Chen, Wang. Knowledge Distillation with Refined
        Logits. ICCV 2025, arXiv 2408.07703, Section "Method", the terms SCD
        and MCD, for softmax.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> teacher = torch.tensor([[1.0, 2.0, 0.5], [1.0, 2.0, 0.5]])
        >>> labels = torch.tensor([0, 3])  # the second is background
        >>> losses = binary_rld_loss(
        ...     student, teacher, labels,
        ...     alpha=1.0, beta=1.0, tau_scd=1.0, tau_mcd=1.0,
        ... )
        >>> [round(x, 4) for x in losses.tolist()]
        [0.3581, 0.0]
    """
    student, teacher = prepare_logits(student, teacher)
    check_labels(labels, student)
    classes = student.shape[1]
    target = labels.clamp(max=classes - 1)
    masked = teacher >= teacher.gather(1, target.unsqueeze(1))
    mcd = binary_kl(student, teacher, tau=tau_mcd, masked=masked)
    top = teacher.argmax(dim=1)
    scd = binary_class_kl(student, teacher, target, top, tau=tau_scd)
    losses = weighted_sum(student, (alpha, scd), (beta, mcd))
    return losses.masked_fill(labels >= classes, 0)


@MODELS.register_module()
class BinaryRLDLoss(nn.Module):
    """``loss_weight`` times :func:`binary_rld_loss`, per positive place.

    Only positive places have a loss. The sum is divided by their number,
    averaged over the processes: a mean over all places, of which about one in
    a hundred is positive, would hardly move the student.

    Args:
        alpha: Factor of SCD, 0 or above.
        beta: Factor of MCD, 0 or above.
        tau_scd: Temperature of SCD, positive.
        tau_mcd: Temperature of MCD, positive.
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
        tau_scd: float,
        tau_mcd: float,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_tau(tau_scd=tau_scd, tau_mcd=tau_mcd)
        check_weight(alpha=alpha, beta=beta, loss_weight=loss_weight)
        self.alpha = alpha
        self.beta = beta
        self.tau_scd = tau_scd
        self.tau_mcd = tau_mcd
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
        losses = binary_rld_loss(
            student,
            teacher,
            labels,
            alpha=self.alpha,
            beta=self.beta,
            tau_scd=self.tau_scd,
            tau_mcd=self.tau_mcd,
        )
        positives = labels < student.shape[1]
        return self.loss_weight * per_positive(losses, weights, positives)
