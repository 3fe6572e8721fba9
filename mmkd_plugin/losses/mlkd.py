"""MLKD, multi-level logit distillation, of one view of the images.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_tau, check_weight, shown
from ..exceptions import MMKDValueError
from .common.divergence import softmax_kl, weighted_sum
from .common.reduction import (
    check_weights,
    numbers_in_use,
    prepare_logits,
    weighted_mean,
)

__all__ = ['MLKDLoss', 'mlkd_loss']


def mlkd_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    alpha: float,
    beta: float,
    gamma: float,
    taus: Sequence[float],
    valid: Tensor | None = None,
) -> Tensor:
    """Match probabilities, and the relations of samples and of classes.

    With P = softmax(z / tau), (N, C), for each tau in ``taus``::

        instance_i = tau^2 * KL(P^T_i || P^S_i)
        batch_i = sum over j of ((P^T P^T')_ij - (P^S P^S')_ij)^2
        class = sum over c, d of ((P^T' P^T)_cd - (P^S' P^S)_cd)^2 / C
        loss_i = alpha * instance_i + beta * batch_i + gamma * class

    and the losses of all taus are added up.  The class term belongs to all
    samples, so it is in the loss of each; the mean of the losses is then the
    sum of the three terms.  It is made of sums over the batch and grows with
    the batch size.  Under data parallelism the batch is that of one process.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        alpha: Factor of the instance term.
        beta: Factor of the batch term.
        gamma: Factor of the class term.
        taus: Temperatures, positive; one or more.
        valid: Bool of shape (N,). A row that is not valid takes no part, and
            its loss is 0. None: all are valid.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0 up
        to rounding.

    Raises:
        ValueError: The shapes of ``student`` and ``teacher`` differ.

    References:
        Jin, Wang, Lin. Multi-level Logit Distillation. CVPR 2023, the
        instance, batch and class level alignment. The paper has a second,
        strongly augmented view; without it this is what the code of RLD
        (arXiv 2408.07703) calls MLKD_NOAUG. There, as in the authors' code, a
        mask of confident samples multiplies the mean over the samples in
        place of its terms, so it only halves all three for an even N
        ((N + 1) / 2N for an odd one): give half the ``loss_weight``.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
        >>> teacher = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
        >>> numbers = dict(alpha=0.0, beta=1.0, gamma=1.0, taus=[1.0])
        >>> loss = mlkd_loss(student, teacher, **numbers)
        >>> [round(x, 2) for x in loss.tolist()]
        [1.0, 1.0]
    """
    student, teacher = prepare_logits(student, teacher)
    if valid is None:
        valid = student.new_ones(len(student), dtype=torch.bool)
    absent = ~valid.unsqueeze(1)
    losses = weighted_sum(
        student,
        *((alpha, softmax_kl(student, teacher, tau=tau)) for tau in taus),
    )
    # It would round the products.
    with torch.autocast(student.device.type, enabled=False):
        for tau in taus:
            own, target = (
                (logits / tau).softmax(dim=1).masked_fill(absent, 0)
                for logits in (student, teacher)
            )
            batch = (target @ target.T - own @ own.T).square().sum(dim=1)
            classes = (target.T @ target - own.T @ own).square().sum(dim=1)
            losses = losses + beta * batch + gamma * classes.mean()
    return losses.masked_fill(~valid, 0)


@MODELS.register_module()
class MLKDLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`mlkd_loss`.

    Args:
        alpha: Factor of the instance term, 0 or above.
        beta: Factor of the batch term, 0 or above.
        gamma: Factor of the class term, 0 or above.
        taus: Temperatures, positive; one or more.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: An argument is not a number or is out of range, or
            ``taus`` is no list of temperatures.
    """

    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        taus: Sequence[float],
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not isinstance(taus, (list, tuple)) or not taus:
            raise MMKDValueError(
                'Expected argument `taus` to be a list of temperatures but '
                f'got {shown(taus)}: give one or more numbers.'
            )
        check_tau(**{f'taus[{i}]': tau for i, tau in enumerate(taus)})
        check_weight(
            alpha=alpha, beta=beta, gamma=gamma, loss_weight=loss_weight
        )
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.taus = taus
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
            weights: Row weights of shape (N,), 0 or above. In the relations
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
        losses = mlkd_loss(
            student,
            teacher,
            alpha=self.alpha,
            beta=self.beta,
            gamma=self.gamma,
            taus=self.taus,
            valid=valid,
        )
        return self.loss_weight * weighted_mean(losses, weights)
