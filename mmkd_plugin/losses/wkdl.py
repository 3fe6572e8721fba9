"""WKD-L: move the student's probabilities to classes like the teacher's.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import (
    check_choice,
    check_integer,
    check_number,
    check_tau,
    check_weight,
)
from ..exceptions import MMKDValueError
from .common.reduction import (
    check_labels,
    numbers_in_use,
    prepare_logits,
    weighted_mean,
)

# The logarithm of the label's probability, which is left out. Not -inf: the
# difference of two would be NaN.
ABSENT = -1e30

__all__ = ['WKDLLoss', 'wkdl_loss']


def wkdl_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    gamma: float,
    tau: float,
    reg: float,
    iterations: int,
    sharpness: float,
    distances: Tensor | None = None,
) -> Tensor:
    """Cross entropy of the label, and Wasserstein distance of the rest.

    With p = softmax(z), y the label, and P the softmax of z / tau over the
    classes but y::

        target = - p^T_y ln p^S_y
        c_ij = 1 - exp(- sharpness * distances_ij)
        W = sum over i, j of c_ij F_ij
        loss = target + gamma * W

    The flow F moves P^S to P^T.  Its entropy, ``reg`` times, makes it unique:
    F_ij = u_i exp(-c_ij / reg) v_j, found by Sinkhorn's iterations, which
    begin with equal u and end with the update of u.  After any number of them
    the rows of F sum to P^S, after many its columns to P^T.  The gradient is
    that of the iterations.  W is above 0 for equal probabilities too.

    The iterations are in the logarithms of u and v.  Classes and samples share
    one matrix, in which y has the probability 0, so that an iteration costs
    two products of (N, C) with (C, C).

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        labels: Class ids y of shape (N,), int64, each in 0 .. C - 1.
        gamma: Factor of W.
        tau: Temperature of P, positive.
        reg: Factor of the entropy, at least 0.02.
        iterations: Number of Sinkhorn's iterations, at least 1.
        sharpness: The larger, the sooner classes count as unlike.
        distances: From a class of the student to one of the teacher, of shape
            (C, C), 0 or above. None: 1 between any two.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits), >= 0.

    Raises:
        TypeError: ``labels`` is not int64.
        ValueError: The shapes of the tensors do not fit.

    References:
        Lv, Yang, Li. Wasserstein Distance Rivals Kullback-Leibler Divergence
        for Knowledge Distillation. NeurIPS 2024, arXiv 2412.08139. This is
        what the authors' code computes, read in copies of it, but for 1e-8
        that it adds to the costs and to the divisors.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.0, 2.0, 0.0, 0.0]])
        >>> teacher = torch.tensor([[0.0, 0.0, 2.0, 0.0]])
        >>> numbers = dict(
        ...     gamma=1.0, tau=1.0, reg=0.05, iterations=10, sharpness=1.0
        ... )
        >>> near = torch.tensor([[0, 9, 9, 9], [9, 0, 1, 9],
        ...                      [9, 1, 0, 9], [9, 9, 9, 0]])
        >>> far = near.where(near != 1, 9)
        >>> label = torch.tensor([0])
        >>> for distances in (near, far):
        ...     loss = wkdl_loss(
        ...         student, teacher, label, distances=distances, **numbers
        ...     )
        ...     print(round(loss.item(), 4))
        0.6555
        0.9057
    """
    student, teacher = prepare_logits(student, teacher)
    check_labels(labels, student)
    label = labels.unsqueeze(1)
    own = student.log_softmax(dim=1).gather(1, label)[:, 0]
    target = -teacher.softmax(dim=1).gather(1, label)[:, 0] * own
    costs = _costs(student, distances, sharpness)
    is_label = torch.zeros_like(teacher, dtype=torch.bool)
    is_label.scatter_(1, label, True)
    ours, theirs = (_log_rest(z / tau, is_label) for z in (student, teacher))
    # It would round the products.
    with torch.autocast(student.device.type, enabled=False):
        moved = _wasserstein(ours, theirs, costs, reg, iterations)
    return target + gamma * moved


def _costs(
    student: Tensor, distances: Tensor | None, sharpness: float
) -> Tensor:
    """The cost of moving from each class to each, in 0 .. 1."""
    size = student.shape[1]
    if distances is None:
        distances = 1 - torch.eye(size)
    if distances.shape != (size, size):
        raise MMKDValueError(
            'Expected argument `distances` to be of every two classes, of '
            f'shape {(size, size)}, but got {tuple(distances.shape)}: give '
            'those of the classes of the logits.'
        )
    distances = distances.detach().to(student).clamp(min=0)
    return 1 - (-sharpness * distances).exp()


def _log_rest(logits: Tensor, is_label: Tensor) -> Tensor:
    """Log-probabilities (N, C) of all classes but the label."""
    lowest = torch.finfo(logits.dtype).min
    logits = logits.masked_fill(is_label, lowest)
    return logits.log_softmax(dim=1).masked_fill(is_label, ABSENT)


def _wasserstein(
    student: Tensor, teacher: Tensor, costs: Tensor, reg: float, number: int
) -> Tensor:
    """W of each row of log-probabilities (N, C), shape (N,)."""
    kernel = (-costs / reg).exp()
    u = v = teacher.where(teacher == ABSENT, 0.0)
    for _ in range(number):
        v = teacher - _log_product(u, kernel)
        u = student - _log_product(v, kernel.T)
    v = (v - v.amax(dim=1, keepdim=True)).exp()
    # The mean cost of what leaves a class.
    means = (v @ (costs * kernel).T) / (v @ kernel.T)
    return (student.exp() * means).sum(dim=1)


def _log_product(logs: Tensor, kernel: Tensor) -> Tensor:
    """``log(exp(logs) @ kernel)``, (N, C)."""
    largest = logs.detach().amax(dim=1, keepdim=True)
    return largest + ((logs - largest).exp() @ kernel).log()


@MODELS.register_module()
class WKDLLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`wkdl_loss`.

    Args:
        gamma: Factor of the distance, 0 or above.
        tau: Temperature, positive.
        distances: 'classifier', 1 - the cosine of the rows of the weight of
            the teacher's classifier, which :meth:`read_teacher` looks up; or
            'equal', 1 between any two classes.
        reg: Factor of the entropy of the flow, from 0.02: below, float32
            does not hold the kernel.
        iterations: Number of Sinkhorn's iterations, 1 or more.
        sharpness: Factor of the distances, 0 or above.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        ValueError: An argument is out of range.
    """

    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        gamma: float,
        tau: float,
        distances: str = 'classifier',
        reg: float = 0.05,
        iterations: int = 10,
        sharpness: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_tau(tau=tau)
        check_weight(gamma=gamma, sharpness=sharpness, loss_weight=loss_weight)
        check_choice('distances', distances, 'classifier', 'equal')
        check_number('reg', reg, 0.02, 10000)
        check_integer('iterations', iterations, 1)
        self.gamma = gamma
        self.tau = tau
        self.distances = distances
        self.reg = reg
        self.iterations = iterations
        self.sharpness = sharpness
        self.loss_weight = loss_weight
        self._distances: Tensor | None = None

    @torch.no_grad()
    def read_teacher(self, teacher: Any) -> None:
        """Look up what the loss needs of the teacher, before the first step.

        Args:
            teacher (Teacher): Its classes are matched with the student's.

        Raises:
            ValueError: It has no linear classifier.
        """
        if self.distances != 'classifier':
            return
        head = getattr(teacher.model, 'head', nn.Identity())
        layers = [m for m in head.modules() if isinstance(m, nn.Linear)]
        if not layers:
            raise MMKDValueError(
                f'Expected the teacher {type(teacher.model).__name__} to have '
                "a `head` with a linear classifier for distances='classifier' "
                "of WKDLLoss but found none: use distances='equal'."
            )
        weight = teacher.reorder(layers[-1].weight.float().T)
        if teacher.missing is not None:
            weight = weight[:, teacher.known]
        rows = nn.functional.normalize(weight.T, dim=1)
        self._distances = (1 - rows @ rows.T).fill_diagonal_(0)

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

        Raises:
            ValueError: The distances of classes are not known.
        """
        if self.distances == 'classifier' and self._distances is None:
            raise MMKDValueError(
                'Expected WKDLLoss to know the classifier of the teacher, but '
                '`read_teacher` was not called: use a `Distiller`, or '
                "distances='equal'."
            )
        losses = wkdl_loss(
            student,
            teacher,
            labels,
            gamma=self.gamma,
            tau=self.tau,
            reg=self.reg,
            iterations=self.iterations,
            sharpness=self.sharpness,
            distances=self._distances,
        )
        return self.loss_weight * weighted_mean(losses, weights)
