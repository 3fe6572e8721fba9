"""CRD, contrastive representation distillation, with a memory bank.

Shapes: N images, M in the training set; K negatives.
"""

import math
from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ..arguments import (
    check_integer,
    check_number,
    check_tau,
    check_weight,
)
from ..exceptions import MMKDRuntimeError, MMKDValueError
from .common.gather import gather_rows
from .common.maps import check_channels
from .common.memory_bank import (
    bank_products,
    draw_others,
    new_bank,
    updated_bank,
)
from .common.reduction import (
    check_labels,
    numbers_in_use,
    weighted_mean,
)
from .common.unit_rows import unit_rows
from .common.vectors import prepare_vectors

__all__ = ['CRDLoss', 'crd_loss']

EPS = 1e-7


def crd_loss(scores: Tensor, *, samples: int, log_z: Tensor | float) -> Tensor:
    """Tell the sample itself from K others, by noise-contrastive estimation.

    With h = exp(score) / Z and c = K / M::

        loss_i = -log(h_i0 / (h_i0 + c + 1e-7))
                 - sum over k = 1 .. K of log(c / (h_ik + c + 1e-7))

    Args:
        scores: Shape (N, 1 + K), float32 or float64: cosine over temperature,
            of the sample itself first.
        samples: M.
        log_z: Logarithm of Z.

    Returns:
        Losses of shape (N,).

    References:
        Tian, Krishnan, Isola. Contrastive Representation Distillation. ICLR
        2020, arXiv 1910.10699, the section on the contrastive loss; Z and
        1e-7 are those of the authors' code.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[3.0, -3.0, -3.0]])
        >>> loss = crd_loss(scores, samples=2, log_z=0.0)
        >>> round(loss.item(), 3)
        0.146
    """
    ratio = (scores.shape[1] - 1) / samples
    # h / (h + c) = sigmoid(log h - log c)
    gaps = scores - log_z - math.log(ratio + EPS)
    rest = F.logsigmoid(-gaps[:, 1:]) + math.log(ratio / (ratio + EPS))
    return -F.logsigmoid(gaps[:, 0]) - rest.sum(dim=1)


@MODELS.register_module()
class CRDLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`crd_loss`, in both directions.

    Two linear maps, trained here, give the pooled vectors of both networks
    ``dim`` numbers of length 1.  Two banks keep those of all samples of the
    training set.  The student's vector is told from the negatives by its
    product with the teacher's bank, the teacher's by that with the student's.
    After each step the vectors of the batch enter their banks, with the share
    1 - ``momentum``.

    The negatives are ``negatives`` samples of other classes, drawn anew for
    every image and step on the device, without replacement, by the global
    generator.  Z is the mean of exp(score) in the first step, times M, of
    each direction, and stays.  Banks and Z are saved with the parameters, and
    are equal in all processes: each enters the vectors of all.

    A step costs four products of N x ``dim`` x M, and N x M random numbers.

    Args:
        dim: Length of the vectors that are compared.
        negatives: How many negatives, K.
        tau: Temperature, positive.
        momentum: Share of the old vector in a bank, in [0, 1].
        num_samples: Number of samples in the training set, M.
        loss_weight: Factor of the loss, 0 or above.
        student_channels: Length of the student's pooled vector, in a list.
        teacher_channels: That of the teacher's.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.

    References:
        See :func:`crd_loss`.  As in the authors' code the positive is the
        image itself ("exact").  There, the negatives of ImageNet are drawn
        with replacement, and each process has banks of its own.
    """

    kind = 'indexed_vectors'
    default_tap = dict(type='PooledTap', indexed=True)
    extra_repr = numbers_in_use
    student_bank: Tensor
    teacher_bank: Tensor
    log_z: Tensor
    classes: Tensor | None

    def __init__(
        self,
        *,
        dim: int,
        negatives: int,
        tau: float,
        momentum: float,
        num_samples: int,
        loss_weight: float,
        student_channels: Sequence[int],
        teacher_channels: Sequence[int],
    ) -> None:
        super().__init__()
        check_integer('dim', dim, 1)
        check_integer('negatives', negatives, 1)
        check_tau(tau=tau)
        check_number('momentum', momentum, 0, 1)
        check_integer('num_samples', num_samples, 2)
        check_weight(loss_weight=loss_weight)
        self.dim = dim
        self.negatives = negatives
        self.tau = tau
        self.momentum = momentum
        self.num_samples = num_samples
        self.loss_weight = loss_weight
        self.student_channels = student_channels
        self.teacher_channels = teacher_channels
        self.register_buffer('student_bank', new_bank(num_samples, dim))
        self.register_buffer('teacher_bank', new_bank(num_samples, dim))
        # Of the student's and the teacher's anchors; 0 before the first step.
        self.register_buffer('log_z', torch.zeros(2))
        self.register_buffer('classes', None, persistent=False)
        for role, channels in (
            ('student', student_channels),
            ('teacher', teacher_channels),
        ):
            check_channels(**{f'{role}_channels': channels})
            if len(channels) > 1:
                raise MMKDValueError(
                    f'Expected argument `{role}_channels` to hold one number, '
                    f'the length of the pooled vector, but got {channels}.'
                )
        self.student_map = nn.Linear(student_channels[0], self.dim)
        self.teacher_map = nn.Linear(teacher_channels[0], self.dim)
        self._begun = False

    def see_dataset(self, labels: Tensor) -> None:
        """Learn the classes of the training set, before the first step.

        Args:
            labels: Class of every sample, int64 of shape (M,).

        Raises:
            ValueError: There are not ``num_samples``, or too few of other
                classes.
        """
        if len(labels) != self.num_samples:
            raise MMKDValueError(
                'Expected argument `num_samples` of CRDLoss to be '
                f'{len(labels)}, the number of training samples, but got '
                f'{self.num_samples}.'
            )
        others = len(labels) - int(labels.bincount().max())
        if others < self.negatives:
            raise MMKDValueError(
                'Expected argument `negatives` of CRDLoss to be at most '
                f'{others}, the number of training samples without those of '
                f'the most frequent class, but got {self.negatives}.'
            )
        self.classes = labels.to(self.student_bank.device)

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: tuple[Tensor, Tensor],
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch; the banks change.

        Args:
            student: Pooled vectors of shape (N, D_s).
            teacher: Pooled vectors of shape (N, D_t).
            labels: Class ids and indices in the training set, int64 of shape
                (N,) each.
            weights: Non-negative, shape (N,).  None: every weight is 1.

        Returns:
            A scalar; 0 and attached to the graph if N = 0.

        Raises:
            TypeError, ValueError: Labels or weights are not such.
            RuntimeError: The indices are not those of the labels that
                :meth:`see_dataset` was given.
        """
        classes, indices = labels
        check_labels(classes, student)
        student, teacher, counted = prepare_vectors(student, teacher, weights)
        valid = torch.ones_like(indices, dtype=torch.bool)
        valid = valid if counted is None else counted
        own = _embed('student', self.student_map, student)
        other = _embed('teacher', self.teacher_map, teacher)
        known = self._known(classes, indices)
        drawn = draw_others(known, indices, count=self.negatives)
        picks = torch.cat([indices[:, None], drawn], dim=1)
        scores = [
            bank_products(rows, bank, picks) / self.tau
            for rows, bank in (
                (own, self.teacher_bank),
                (other, self.student_bank),
            )
        ]
        if not self._begun:
            self._begin(scores, valid)
        losses = [
            crd_loss(each, samples=self.num_samples, log_z=log_z)
            for each, log_z in zip(scores, self.log_z)
        ]
        self._update(indices, own.detach(), other.detach(), valid)
        return self.loss_weight * weighted_mean(losses[0] + losses[1], weights)

    def _known(self, classes: Tensor, indices: Tensor) -> Tensor:
        """Classes of the training set, which those of the first step fit."""
        known = self.classes
        if known is None:
            raise MMKDRuntimeError(
                'CRDLoss does not know the classes of the training set, from '
                'which it draws negatives: call its `see_dataset(labels)` '
                'before the first step.'
            )
        if not self._begun:  # it synchronizes the GPU
            inside = (indices >= 0) & (indices < len(known))
            if not inside.all() or not known[indices].equal(classes):
                raise MMKDRuntimeError(
                    'The images have other classes than the training set has '
                    'at their `sample_idx`: let `sample_idx` be the position '
                    'in the data set.'
                )
        return known

    @torch.no_grad()
    def _begin(self, scores: Sequence[Tensor], valid: Tensor) -> None:
        """Fix Z, unless it was restored, by the scores of all processes."""
        if not bool(self.log_z.any()):
            sums = torch.stack(
                [each[valid].logsumexp(dim=(0, 1)) for each in scores]
            )
            sums = torch.stack(gather_rows(sums)).logsumexp(dim=0)
            count = torch.stack(gather_rows(valid.sum()[None])).sum()
            if count == 0:
                return
            mean = sums - (count * (1 + self.negatives)).log()
            self.log_z = mean + math.log(self.num_samples)
        self._begun = True

    @torch.no_grad()
    def _update(
        self, indices: Tensor, own: Tensor, other: Tensor, valid: Tensor
    ) -> None:
        """Let the vectors of all processes enter the banks."""
        indices, valid = torch.cat(
            gather_rows(torch.stack([indices, valid.long()], dim=1))
        ).unbind(dim=1)
        rows = torch.cat(gather_rows(torch.cat([own, other], dim=1)))
        own, other = rows.split(self.dim, dim=1)
        self.student_bank, self.teacher_bank = (
            updated_bank(
                bank, indices, new, momentum=self.momentum, valid=valid > 0
            )
            for bank, new in (
                (self.student_bank, own),
                (self.teacher_bank, other),
            )
        )


def _embed(role: str, layer: nn.Linear, rows: Tensor) -> Tensor:
    """The rows that are compared, of length 1."""
    if rows.shape[1] != layer.in_features:
        raise MMKDValueError(
            f'Expected pooled vectors of the {role} of length '
            f'{layer.in_features}, as `{role}_channels` of CRDLoss says, but '
            f'got {rows.shape[-1]}.'
        )
    return unit_rows(layer(rows.to(layer.weight.dtype)))
