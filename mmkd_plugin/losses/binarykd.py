"""Binary KD: match the teacher's probability of each sigmoid.

Shapes: N samples (anchors of an RPN or another dense head), C classes, each
with a sigmoid of its own (1 for an RPN: is there an object).
"""

from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_tau, check_weight
from .common.binary import binary_kl
from .common.divergence import weighted_sum
from .common.reduction import (
    numbers_in_use,
    prepare_logits,
    weighted_mean,
)

__all__ = ['BinaryKDLoss', 'binary_kd_loss']


def binary_kd_loss(student: Tensor, teacher: Tensor, *, tau: float) -> Tensor:
    """Binary cross entropy to the teacher's probabilities, less its minimum.

    ``sum_c BCE(z^S_c, q_c) - H(q_c)`` with ``q = sigmoid(z^T / tau)``, which
    is ``KL(q_c || sigmoid(z^S_c))``.  The entropy H of the target is the
    smallest value of the cross entropy and has no gradient; without it, equal
    models at ``tau=1`` give 0, and the log shows how far apart they are.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        tau: Temperature of the teacher, positive; the student has none.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0 up
        to rounding.

    Raises:
        ValueError: The shapes of ``student`` and ``teacher`` differ.

    References:
        Kay et al. Align and Distill: Unifying and Improving Domain Adaptive
        Object Detection. TMLR 2025, arXiv 2403.12029: the objectness term of
        the released code, which does not subtract the entropy.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0], [2.0]])
        >>> teacher = torch.tensor([[2.0], [2.0]])
        >>> values = binary_kd_loss(student, teacher, tau=1.0)
        >>> [round(x, 4) for x in values.tolist()]
        [0.3278, 0.0]
    """
    student, teacher = prepare_logits(student, teacher)
    term = binary_kl(student, teacher / tau, tau=1.0)
    return weighted_sum(student, (1.0, term))


@MODELS.register_module()
class BinaryKDLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`binary_kd_loss`.

    The mean is over the samples of weight > 0, for an RPN the sampled
    anchors, by which MMDetection divides the RPN's own losses too: the term
    keeps its ratio to them at any batch and image size.  A sum grows with the
    number of anchors, and a mean over all anchors, of which a few hundred per
    image are sampled and the others are easy background, hardly moves any.

    Args:
        tau: Temperature of the teacher, positive.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: An argument is no number or out of range.
    """

    kind = 'sigmoid'
    default_tap = dict(type='RPNHeadTap')
    extra_repr = numbers_in_use

    def __init__(self, *, tau: float, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_tau(tau=tau)
        check_weight(loss_weight=loss_weight)
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
            weights: Row weights of shape (N,), 0 or above; see
                :func:`~mmkd_plugin.losses.common.reduction.weighted_mean`.

        Returns:
            A scalar; 0 and attached to the graph if N = 0.
        """
        losses = binary_kd_loss(student, teacher, tau=self.tau)
        return self.loss_weight * weighted_mean(losses, weights)
