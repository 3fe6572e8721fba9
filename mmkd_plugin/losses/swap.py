"""SWAP: KD, with a wrong prediction and the label exchanged in the teacher.

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

__all__ = ['SWAPLoss', 'swap_loss']


def swap_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, tau: float
) -> Tensor:
    """KL divergence from the teacher with its top class and label exchanged.

    With a the class of the largest z^T and y the label, z~ is z^T with the
    values at a and y exchanged::

        loss = tau^2 * KL(softmax(z~ / tau) || softmax(z^S / tau))

    Where the teacher predicts the label, this is
    :func:`~mmkd_plugin.losses.kd.kd_loss`.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        labels: Class ids y of shape (N,), int64, each in 0 .. C - 1.
        tau: Temperature, positive.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0 up
        to rounding.

    Raises:
        TypeError: ``labels`` is not int64.
        ValueError: The shapes of the tensors do not fit.

    References:
        The method SWAP in the code of Sun, Chen, Lyu, Chen, Wang. Knowledge
        Distillation with Refined Logits. ICCV 2025, arXiv 2408.07703, which
        compares RLD with it and trains it without the cross entropy.

    Example:
        >>> import torch
        >>> student = torch.tensor([[2.0, 1.0], [2.0, 1.0]])
        >>> teacher = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> labels = torch.tensor([0, 0])
        >>> swap_loss(student, teacher, labels, tau=1.0).tolist()
        [0.0, 0.0]
    """
    student, teacher = prepare_logits(student, teacher)
    check_labels(labels, student)
    label = labels.unsqueeze(1)
    top = teacher.argmax(dim=1, keepdim=True)
    own, largest = teacher.gather(1, label), teacher.gather(1, top)
    swapped = teacher.scatter(1, top, own).scatter(1, label, largest)
    kl = softmax_kl(student, swapped, tau=tau)
    return weighted_sum(student, (1.0, kl))


@MODELS.register_module()
class SWAPLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`swap_loss`.

    Args:
        tau: Temperature, positive.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: An argument is not a number or is out of range.
    """

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
        losses = swap_loss(student, teacher, labels, tau=self.tau)
        return self.loss_weight * weighted_mean(losses, weights)
