"""DIST, distillation from a stronger teacher: match relations by correlation.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_tau, check_weight
from .common.reduction import (
    check_weights,
    numbers_in_use,
    prepare_logits,
    weighted_mean,
)

# From the authors' code. It makes the correlation of probabilities that hardly
# vary, such as those of a class that is never predicted, nearly 0.
EPS = 1e-8

__all__ = ['DISTLoss', 'dist_loss']


def dist_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    beta: float,
    gamma: float,
    tau: float,
    valid: Tensor | None = None,
) -> Tensor:
    """Correlation between the classes of a sample and the samples of a class.

    With p = softmax(z / tau), r(a, b) the Pearson correlation, p_i the row of
    sample i and ``p_:c`` the column of class c::

        inter_i = 1 - r(p^S_i, p^T_i)
        intra = mean over c of 1 - r(p^S_:c, p^T_:c)
        loss_i = tau^2 * (beta * inter_i + gamma * intra)

    A column belongs to all samples, so intra is in the loss of each of them;
    the mean of the losses is then the sum of the two terms. Under data
    parallelism the columns are those of one process, as in the authors' code.

    Rows and columns that are constant up to rounding have no correlation: it
    counts as 0, adds 1 to its term, and has gradient 0. This holds for every
    column if N = 1, and every row if C = 1. The minimum is above 0 wherever
    the probabilities of a class hardly vary.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        beta: Factor of the relations between classes, inter.
        gamma: Factor of the relations within a class, intra.
        tau: Temperature, positive.
        valid: Bool of shape (N,). A row that is not valid is left out of
            the columns, and its loss is 0. None: all are valid.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), in
        0 .. 2 tau^2 (beta + gamma) up to rounding.

    Raises:
        ValueError: The shapes of ``student`` and ``teacher`` differ.

    References:
        Huang, You, Wang, Qian, Xu. Knowledge Distillation from A Stronger
        Teacher. NeurIPS 2022, arXiv 2205.10536, the section on the inter-class
        and intra-class relations. The authors' first code has no temperature;
        tau and the factor tau^2 are those of MMRazor.

    Example:
        >>> import torch
        >>> student = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        >>> teacher = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0]])
        >>> loss = dist_loss(student, teacher, beta=1.0, gamma=0.0, tau=1.0)
        >>> [round(x, 4) for x in loss.tolist()]
        [0.0344, 0.0344]
    """
    student, teacher = prepare_logits(student, teacher)
    if valid is None:
        valid = student.new_ones(len(student), dtype=torch.bool)
    probs = (student / tau).softmax(dim=1), (teacher / tau).softmax(dim=1)
    inter = 1 - _correlation(*probs, valid, dim=1)
    intra = (1 - _correlation(*probs, valid, dim=0)).mean()
    losses = tau**2 * (beta * inter + gamma * intra)
    return losses.masked_fill(~valid, 0)


def _correlation(a: Tensor, b: Tensor, valid: Tensor, dim: int) -> Tensor:
    """Pearson correlation of the valid rows of (N, C) along a dimension."""
    a, b = _centre(a, valid, dim), _centre(b, valid, dim)
    lengths = a.norm(dim=dim) * b.norm(dim=dim)
    return (a * b).sum(dim=dim) / (lengths + EPS)


def _centre(values: Tensor, valid: Tensor, dim: int) -> Tensor:
    """Subtract the mean; constants, and rows that are not valid, give 0."""
    absent = ~valid.unsqueeze(1)
    values = values.masked_fill(absent, 0)
    count = (~absent).expand_as(values).sum(dim=dim, keepdim=True)
    mean = values.sum(dim=dim, keepdim=True) / count.clamp(min=1)
    centred = (values - mean).masked_fill(absent, 0)
    length = centred.detach().norm(dim=dim, keepdim=True)
    rounding = 16 * torch.finfo(values.dtype).eps
    noise = rounding * values.detach().norm(dim=dim, keepdim=True)
    return centred.masked_fill(length <= noise, 0)


@MODELS.register_module()
class DISTLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`dist_loss`.

    Args:
        beta: Factor of the relations between classes, 0 or above.
        gamma: Factor of the relations within a class, 0 or above.
        tau: Temperature, positive.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: An argument is not a number or is out of range.
    """

    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        beta: float,
        gamma: float,
        tau: float,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_tau(tau=tau)
        check_weight(beta=beta, gamma=gamma, loss_weight=loss_weight)
        self.beta = beta
        self.gamma = gamma
        self.tau = tau
        self.loss_weight = loss_weight

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
            weights: Row weights of shape (N,), 0 or above. Within a class,
                all rows with weight > 0 count equally; rows of weight 0 are
                ignored. See
                :func:`~mmkd_plugin.losses.common.reduction.weighted_mean`.

        Returns:
            A scalar; 0 and attached to the graph if N = 0.
        """
        valid = None
        if weights is not None:
            check_weights(weights, student)
            valid = weights > 0
        losses = dist_loss(
            student,
            teacher,
            beta=self.beta,
            gamma=self.gamma,
            tau=self.tau,
            valid=valid,
        )
        return self.loss_weight * weighted_mean(losses, weights)
