"""CTKD, curriculum temperature: a temperature that makes it harder.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

import math

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_integer, check_weight
from .common.reduction import (
    numbers_in_use,
    prepare_logits,
    weighted_mean,
)

# The temperature is LOWEST + RANGE * sigmoid(theta), and theta begins at
# START.
LOWEST, RANGE, START = 1.0, 20.0, 1.0

__all__ = ['CTKDLoss', 'ctkd_loss']


def ctkd_loss(student: Tensor, teacher: Tensor, *, tau: Tensor) -> Tensor:
    """KD at a temperature that gets a gradient.

    ``tau^2 * KL(softmax(z^T / tau) || softmax(z^S / tau))``.  The gradient
    of tau is that of the whole, of tau^2 and of both distributions.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        tau: Temperature, positive, a scalar.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0 up
        to rounding.

    Raises:
        ValueError: The shapes of ``student`` and ``teacher`` differ.

    References:
        Li, Li, Yang, Zhao, Song, Luo, Li, Yang. Curriculum Temperature for
        Knowledge Distillation. AAAI 2023, arXiv 2211.16231, the section on
        the adversarial distillation.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, 0.0]])
        >>> teacher = torch.tensor([[0.0, 2.0]])
        >>> tau = torch.tensor(1.0, requires_grad=True)
        >>> loss = ctkd_loss(student, teacher, tau=tau).sum()
        >>> loss.backward()
        >>> round(loss.item(), 3), round(tau.grad.item(), 3)
        (0.328, 0.236)
    """
    student, teacher = prepare_logits(student, teacher)
    tau = tau.to(student.dtype)
    log_p = (teacher / tau).log_softmax(dim=1)
    log_q = (student / tau).log_softmax(dim=1)
    return tau**2 * (log_p.exp() * (log_p - log_q)).sum(dim=1)


def reversal(step: Tensor, warmup_steps: int) -> Tensor:
    """Factor of the gradient of theta, from 0 to -1 along a cosine.

    ``-(1 - cos(pi * step / warmup_steps)) / 2``, and -1 from ``warmup_steps``
    on.

    Args:
        step: Counted from 1, a scalar.
        warmup_steps: Positive.
    """
    share = (step / warmup_steps).clamp(max=1)
    return (torch.cos(math.pi * share) - 1) / 2


@MODELS.register_module()
class CTKDLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`ctkd_loss`, tau being trained.

    ::

        tau = 1 + 20 * sigmoid(theta)

    theta is one number for all samples, trained here, which begins at 1: tau
    begins at 15.62.  Its gradient is multiplied by a factor that goes from 0
    to -1 along a cosine (:func:`reversal`) in the first ``warmup_steps``
    training steps and stays: the optimizer, which lowers the loss by the
    student, raises it by the temperature.  The steps are counted by what is
    saved beside theta.

    Args:
        warmup_steps: Training steps until theta has its whole gradient, 1 or
            above; with gradient accumulation, each forward pass counts.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.

    References:
        See :func:`ctkd_loss`; the section on the curriculum for the factor.
        The version with one temperature for all samples ("global"), with the
        range and start of the authors' code, where the factor changes once
        per epoch, as here after its last step.
    """

    # It would draw theta to 0, a temperature of 11.
    without_decay = ('theta',)
    extra_repr = numbers_in_use
    steps: Tensor

    def __init__(self, *, warmup_steps: int, loss_weight: float) -> None:
        super().__init__()
        check_integer('warmup_steps', warmup_steps, 1)
        check_weight(loss_weight=loss_weight)
        self.warmup_steps = warmup_steps
        self.loss_weight = loss_weight
        self.theta = nn.Parameter(torch.tensor(START))
        self.register_buffer('steps', torch.zeros((), dtype=torch.int64))

    def tau(self) -> Tensor:
        """The temperature, a scalar with the reversed gradient."""
        still = self.theta.detach()
        factor = reversal(self.steps, self.warmup_steps)
        theta = still + factor * (self.theta - still)
        return LOWEST + RANGE * theta.sigmoid()

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
        if self.training:
            self.steps += 1
        losses = ctkd_loss(student, teacher, tau=self.tau())
        return self.loss_weight * weighted_mean(losses, weights)
