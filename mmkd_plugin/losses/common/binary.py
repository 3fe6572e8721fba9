"""KL divergences between sigmoids, with their gradients.

Shapes: N samples, C classes, each with a sigmoid of its own.

As in divergence.py, value and gradient are computed at once, which keeps one
(N, C) tensor for the backward pass.

Probabilities close to 1 have lost their last digits. Where one of the two
logits is negative, both therefore change their signs, which changes no
divergence: the probabilities that are left to compute are small.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from .divergence import Divergence

# Numbers of (N, C) at a time: N is that of a dense head, tens of thousands.
SIZE = 2**19


def by_rows(
    part: Callable[..., tuple[Tensor, Tensor]], *rows: Tensor
) -> tuple[Tensor, Tensor]:
    """A loss of rows and its gradient, some rows at a time.

    What ``part`` needs in between has the size of these rows.

    Args:
        part: Given some rows of each tensor, it returns their losses, (n,),
            and the gradient with respect to the first tensor, (n, C).
        *rows: Tensors of shape (N, C), without graph.

    Returns:
        ``part(*rows)``.
    """
    first = rows[0]
    count = max(1, SIZE // max(1, first.shape[1]))
    gradient = torch.empty_like(first)
    values = []
    for start in range(0, max(1, len(first)), count):
        these = slice(start, start + count)
        value, gradient[these] = part(*(each[these] for each in rows))
        values.append(value)
    return torch.cat(values), gradient


def signs(logits: Tensor) -> Tensor:
    """-1 where a logit is negative, else 1."""
    return torch.ones_like(logits).masked_fill_(logits < 0, -1)


def binary_kl(
    student: Tensor,
    teacher: Tensor,
    *,
    tau: float,
    masked: Tensor | None = None,
) -> Divergence:
    """``sum_c KL(sigmoid(teacher_c / tau) || sigmoid(student_c / tau))``.

    Args:
        student: Logits of shape (N, C).
        teacher: Logits of shape (N, C).
        tau: Temperature, positive.
        masked: Bool of shape (N, C), the classes to leave out of the sum.
    """
    rows = [student.detach(), teacher]
    if masked is not None:
        rows.append(masked)
    return Divergence(*by_rows(partial(_binary_kl, tau), *rows), tau)


def _binary_kl(
    tau: float, student: Tensor, teacher: Tensor, masked: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    sign = signs(teacher)
    own = (student / tau).mul_(sign)
    other = (teacher / tau).mul_(sign)
    target = torch.sigmoid(-other)  # 1 - q
    values = F.logsigmoid(other).sub_(F.logsigmoid(own))
    values.addcmul_(target, other.neg_().add_(own))
    gradient = target.sub_(torch.sigmoid(own.neg_())).mul_(sign)
    if masked is not None:
        values.masked_fill_(masked, 0)
        gradient.masked_fill_(masked, 0)
    return values.sum(dim=1), gradient


def binary_class_kl(
    student: Tensor,
    teacher: Tensor,
    student_class: Tensor,
    teacher_class: Tensor,
    *,
    tau: float,
) -> Divergence:
    """The same of one class per sample, the teacher's and the student's own.

    Args:
        student: Logits of shape (N, C).
        teacher: Logits of shape (N, C).
        student_class: Class ids of shape (N,), int64.
        teacher_class: Class ids of shape (N,), int64.
        tau: Temperature, positive.
    """
    student_class = student_class.unsqueeze(1)
    values, slope, _ = binary_kl(
        student.gather(1, student_class),
        teacher.gather(1, teacher_class.unsqueeze(1)),
        tau=tau,
    )
    gradient = torch.zeros_like(teacher).scatter_(1, student_class, slope)
    return Divergence(values, gradient, tau)
