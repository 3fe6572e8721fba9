"""KL divergences between class distributions, with their gradients.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).

Value and gradient use the same probabilities. Computing both at once keeps
one (N, C) tensor for the backward pass, where autograd would keep nearly
every intermediate result.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class Divergence(NamedTuple):
    """KL divergence of teacher and student at a temperature tau.

    Attributes:
        values: Divergences of shape (N,), in nats.
        gradient: Their gradient with respect to the student's logits / tau, of
            shape (N, C); :func:`weighted_sum` overwrites it.
        tau: The temperature.
    """

    values: Tensor
    gradient: Tensor
    tau: float


class _WithGradient(Function):
    """Values of shape (N,) with a precomputed gradient of shape (N, C)."""

    @staticmethod
    def forward(ctx, student: Tensor, values: Tensor, gradient: Tensor):
        ctx.save_for_backward(gradient)
        return values.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        (gradient,) = ctx.saved_tensors
        return gradient * grad.unsqueeze(1), None, None


def weighted_sum(student: Tensor, *terms: tuple[float, Divergence]) -> Tensor:
    """Sum of ``weight * tau^2 * KL``, with its gradient.

    Args:
        student: The logits of shape (N, C) that all terms were computed from.
        *terms: Weight and divergence. Their gradients are overwritten.

    Returns:
        Values of shape (N,). They can be differentiated once.
    """
    (weight, first), *rest = terms
    values = weight * first.tau**2 * first.values
    gradient = first.gradient.mul_(weight * first.tau)
    for weight, term in rest:
        values = values + weight * term.tau**2 * term.values
        gradient.add_(term.gradient, alpha=weight * term.tau)
    return _WithGradient.apply(student, values, gradient)


def softmax_kl(
    student: Tensor,
    teacher: Tensor,
    *,
    tau: float,
    masked: Tensor | None = None,
) -> Divergence:
    """KL(softmax(teacher / tau) || softmax(student / tau)) of each row.

    Args:
        student: Logits of shape (N, C).
        teacher: Logits of shape (N, C).
        tau: Temperature, positive.
        masked: Bool of shape (N, C), the classes to leave out of both
            distributions. A row with fewer than two classes left gives 0 and
            gradient 0.
    """
    values, gradient = _kl(
        _log_softmax(student.detach() / tau, masked),
        _log_softmax(teacher / tau, masked),
    )
    return Divergence(values, gradient, tau)


def class_kl(
    student: Tensor,
    teacher: Tensor,
    student_class: Tensor,
    teacher_class: Tensor,
    *,
    tau: float,
) -> Divergence:
    """KL((p^T_a, 1 - p^T_a) || (p^S_b, 1 - p^S_b)) of each row.

    Here p = softmax(z / tau), a is the teacher's class of a row and b
    the student's.

    Args:
        student: Logits of shape (N, C).
        teacher: Logits of shape (N, C).
        student_class: Class ids b of shape (N,), int64.
        teacher_class: Class ids a of shape (N,), int64.
        tau: Temperature, positive.
    """
    student_class = student_class.unsqueeze(1)
    target = _one_vs_rest(teacher / tau, teacher_class.unsqueeze(1))[0]
    binary, rest = _one_vs_rest(student.detach() / tau, student_class)
    values, slope = _kl(binary.log_softmax(dim=1), target.log_softmax(dim=1))
    # The derivative of their logsumexp is the softmax over the other classes.
    gradient = rest.scatter_(1, student_class, -1.0).mul_(slope[:, 1:])
    return Divergence(values, gradient, tau)


def _kl(log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """KL(p || q) of each row, and q - p, its gradient for the logits of q.

    Args:
        log_q: Log-probabilities of shape (N, C). They are overwritten.
        log_p: Log-probabilities of shape (N, C). They are overwritten.
    """
    p = log_p.exp()
    values = log_p.sub_(log_q).mul_(p).sum(dim=1)
    return values, log_q.exp_().sub_(p)


def _log_softmax(logits: Tensor, masked: Tensor | None) -> Tensor:
    """Log-probabilities (N, C), masked classes left out; overwrites logits."""
    if masked is not None:
        # The lowest finite number, not -inf: inf - inf would be NaN in rows
        # in which every class is masked.
        logits.masked_fill_(masked, torch.finfo(logits.dtype).min)
    return logits.log_softmax(dim=1)


def _one_vs_rest(logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of two classes: one of the C, and all others together.

    Their softmax is (p, 1 - p), without the rounding error of 1 - p.

    Args:
        logits: Shape (N, C). They are overwritten.
        index: Class ids of shape (N, 1), int64.

    Returns:
        Logits of shape (N, 2), and the softmax of the other classes alone,
        of shape (N, C).
    """
    own = logits.gather(1, index)
    logits.scatter_(1, index, torch.finfo(logits.dtype).min)
    rest = logits.softmax(dim=1)
    # logsumexp = logit - log(probability), most precise for the largest.
    greatest = rest.amax(dim=1, keepdim=True).log()
    logsumexp = logits.amax(dim=1, keepdim=True) - greatest
    return torch.cat([own, logsumexp], dim=1), rest
