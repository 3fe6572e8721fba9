"""REVISION: match the teacher where it is right, a revised one where not.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_number, check_weight
from .common.reduction import (
    check_labels,
    check_weights,
    numbers_in_use,
    prepare_logits,
    weighted_mean,
)

__all__ = ['REVISIONLoss', 'revision_loss']


def revision_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    beta: float,
    valid: Tensor | None = None,
) -> Tensor:
    """Rows that the teacher gets right and rows that it does not, apart.

    With p = softmax(z), y the label, R the rows whose largest z^T is at y and
    W the other rows::

        right_i = - ln p^S_y + alpha * mean over c of (z^S_c - z^T_c)^2
        q = b p^T + (1 - b) onehot(y),  b = beta / (max p^T - p^T_y + 1)
        wrong_i = mean over c of (p^S_c - q_c)^2
        loss_i = N / |R| * right_i in R,  N / |W| * wrong_i in W

    The mean of the losses is the mean of R plus that of W; the share of the
    wrong rows in a batch does not matter.  The cross entropy is a part of it,
    of the rows in R alone, so train without the task loss.  Under data
    parallelism R and W are those of one process.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        labels: Class ids y of shape (N,), int64, each in 0 .. C - 1.
        alpha: Factor of the distance of the logits.
        beta: The teacher's share in q where it all but predicts the label, in
            0 .. 1.
        valid: Bool of shape (N,). A row that is not valid counts in neither
            R nor W, and its loss is 0. None: all are valid.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0.

    Raises:
        TypeError: ``labels`` is not int64.
        ValueError: The shapes of the tensors do not fit.

    References:
        The method REVISION in the code of Sun, Chen, Lyu, Chen, Wang.
        Knowledge Distillation with Refined Logits. ICCV 2025, arXiv
        2408.07703, which compares RLD with it: alpha 4, beta 0.8.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
        >>> labels = torch.tensor([0, 1])  # of a tie, the first is predicted
        >>> loss = revision_loss(logits, logits, labels, alpha=4.0, beta=0.8)
        >>> [round(x, 4) for x in loss.tolist()]
        [1.3863, 0.02]
    """
    student, teacher = prepare_logits(student, teacher)
    check_labels(labels, student)
    if valid is None:
        valid = student.new_ones(len(student), dtype=torch.bool)
    label = labels.unsqueeze(1)
    right = teacher.argmax(dim=1) == labels
    distances = (student - teacher).square().mean(dim=1)
    log_probs = student.log_softmax(dim=1)
    agreed = alpha * distances - log_probs.gather(1, label)[:, 0]
    taught = teacher.softmax(dim=1)
    lead = taught.amax(dim=1, keepdim=True) - taught.gather(1, label)
    share = beta / (lead + 1)
    target = (share * taught).scatter_add(1, label, 1 - share)
    revised = (log_probs.exp() - target).square().mean(dim=1)
    losses = agreed.where(right, revised)
    counts = torch.where(right, (right & valid).sum(), (~right & valid).sum())
    factors = valid.sum() / counts.clamp(min=1)
    return (factors * losses).masked_fill(~valid, 0)


@MODELS.register_module()
class REVISIONLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`revision_loss`.

    Args:
        alpha: Factor of the distance of the logits, 0 or above.
        beta: The teacher's share where it is wrong, in 0 .. 1.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: An argument is not a number or is out of range.
    """

    extra_repr = numbers_in_use

    def __init__(
        self, *, alpha: float, beta: float, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        check_number('beta', beta, 0, 1)
        check_weight(alpha=alpha, loss_weight=loss_weight)
        self.alpha = alpha
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
            labels: Class ids of shape (N,), int64.
            weights: Row weights of shape (N,), 0 or above; rows of weight 0
                count neither as right nor as wrong. See
                :func:`~mmkd_plugin.losses.common.reduction.weighted_mean`.

        Returns:
            A scalar; 0 and attached to the graph if N = 0.
        """
        valid = None
        if weights is not None:
            check_weights(weights, student)
            valid = weights > 0
        losses = revision_loss(
            student,
            teacher,
            labels,
            alpha=self.alpha,
            beta=self.beta,
            valid=valid,
        )
        return self.loss_weight * weighted_mean(losses, weights)
