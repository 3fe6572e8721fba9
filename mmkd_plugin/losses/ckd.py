"""CKD, contrastive knowledge distillation: tell the samples apart.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

from functools import partial

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ..arguments import check_switch, check_tau, check_weight
from .common.gather import gather_rows, other_ranks
from .common.info_nce import info_nce
from .common.reduction import (
    check_labels,
    check_weights,
    numbers_in_use,
    prepare_logits,
    weighted_mean,
)
from .common.unit_rows import unit_rows

__all__ = ['CKDLoss', 'ckd_loss']

# With less between chance and the teacher, there is nothing to tell apart.
LEAST_ROOM = 1e-4


def ckd_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    tau: float,
    valid: Tensor | None = None,
    negatives: Tensor | None = None,
    labels: Tensor | None = None,
) -> Tensor:
    """InfoNCE between the logits of teacher and student.

    With t and s the rows of z^T and z^S scaled to length 1::

        loss_i = -log(exp(t_i . s_i / tau) / sum_j exp(t_i . s_j / tau))

    The teacher's row is the anchor, the student's row of the same sample the
    positive, the student's other rows the negatives.

    The value grows with N: compare it with ln N, the value at chance. With
    tau = 1, perfect positives and orthogonal negatives it is
    ln(1 + (N - 1) / e); N = 1 gives 0. Values for different N cannot be
    compared. Weights can: the gradient of the mean with respect to s_i is
    (sum_k p_ki t_k - t_i) / (N tau), where p_ki is the softmax over the rows.
    With tau = 1 every p_ki is close to 1 / N, and the bracket hardly depends
    on N.

    Args:
        student: Logits z^S of shape (N, C), any floating type.
        teacher: Logits z^T of shape (N, C); they get no gradient.
        tau: Temperature, positive.
        valid: Bool of shape (N,). A row that is not valid is ignored: it
            is no negative, and its own loss is 0. None: all are valid.
        negatives: Logits of shape (M, C), further rows of the student that
            are negatives only. N above then stands for N + M.
        labels: Class ids of shape (N + M,). Rows of the anchor's
            class are then not its negatives. None: every other row is one.

    Returns:
        Losses of shape (N,), float32 (float64 for float64 logits). Memory
        grows with N + M, not with N x (N + M). A row of zeros has no
        direction: its similarity to any row is 0, and so is its gradient.

    Raises:
        ValueError: The shapes of ``student`` and ``teacher`` differ.

    References:
        Zhu, Zhou, Zhu, Wang, Hu. CKD: Contrastive Knowledge Distillation from
        a Sample-Wise Perspective. IEEE TIP 2025, arXiv 2404.14109, the
        section on the InfoNCE form of the intra-sample and inter-sample
        terms; anchor and negatives as in the authors' code.

    Example:
        >>> import torch
        >>> logits = torch.eye(64)
        >>> loss = ckd_loss(logits, 3 * logits, tau=1.0)
        >>> round(loss.mean().item(), 2)
        3.19
    """
    student, teacher = prepare_logits(student, teacher)
    if negatives is not None:
        student = torch.cat([student, negatives.to(student)])
    student, teacher = unit_rows(student), unit_rows(teacher)
    absent = None
    if valid is not None:
        absent = F.pad(~valid, (0, len(student) - len(teacher)))
    losses = info_nce(student, teacher, tau=tau, absent=absent, labels=labels)
    return losses if valid is None else losses.masked_fill(~valid, 0)


@torch.no_grad()
def ckd_gap(value: Tensor, teacher: Tensor, chance: Tensor) -> Tensor:
    """How much of what the teacher tells apart the student does not.

    The value of CKD alone cannot be read: chance is ln N, and where samples
    have similar logits of the teacher, even a perfect student is near it.

    Args:
        value: Mean of :func:`ckd_loss`.
        teacher: The same with the teacher as its own student.
        chance: The same with a student that gives all samples one row, the
            mean of ln N.

    Returns:
        ``(value - teacher) / (chance - teacher)``: 0 for the logits of the
        teacher, up to the length of each row; 1 for a student that tells no
        sample from another; above 1 for one that is worse than that. It may
        fall a little below 0. NaN if the teacher tells nothing apart.
    """
    room = chance - teacher
    gap = (value - teacher) / room
    return gap.masked_fill(room < LEAST_ROOM, torch.nan)


@MODELS.register_module()
class CKDLoss(nn.Module):
    """``loss_weight`` times the mean of :func:`ckd_loss`.

    Gradient accumulation is not the same as one big batch: each small batch
    has its own negatives, so N does not grow.

    Args:
        tau: Temperature, positive.
        loss_weight: Factor of the loss, 0 or above.
        gather: Whether the student's rows of all ranks are negatives, as in
            one big batch. The value and, under ``DistributedDataParallel``,
            the gradients are then those of that batch, however its rows are
            split. It costs four collectives in the forward pass, two in the
            backward pass and three GPU synchronizations. If False, as in the
            authors' code, each rank has its own negatives and its own mean.
        same_class_negatives: Whether rows of the anchor's class are negatives
            too, as in the paper. If False, N varies with the sample: the
            background rows of an RoI head, which are most of them, are then
            compared with foreground rows only.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.
    """

    # It compares directions, whichever activation the logits are for.
    kinds = ('logits', 'sigmoid')
    # Asked for by a Distiller, which puts a list here: 'gap', see `ckd_gap`.
    diagnostics: list | None = None
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        tau: float,
        loss_weight: float,
        gather: bool = False,
        same_class_negatives: bool = True,
    ) -> None:
        super().__init__()
        check_switch(gather=gather, same_class_negatives=same_class_negatives)
        check_tau(tau=tau)
        check_weight(loss_weight=loss_weight)
        self.tau = tau
        self.loss_weight = loss_weight
        self.gather = gather
        self.same_class_negatives = same_class_negatives

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
            labels: Class ids of shape (N,). Not used if
                ``same_class_negatives``; they may then be anything.
            weights: Row weights of shape (N,), 0 or above. The
                weight is that of the anchor; a row of weight 0 is ignored,
                as a negative too. See
                :func:`~mmkd_plugin.losses.common.reduction.weighted_mean`.

        Returns:
            A scalar; 0 and attached to the graph if N = 0. With ``gather``
            it is the same on all ranks.

        Raises:
            TypeError, ValueError: ``labels`` are used but are not class ids.
        """
        valid = negatives = teacher_negatives = class_ids = None
        if weights is not None:
            check_weights(weights, student)
            valid = weights > 0
        if not self.same_class_negatives:
            check_labels(labels, student)
            class_ids = labels
        if self.gather:
            # Upcast first, so that gradients are summed in full precision.
            student, teacher = prepare_logits(student, teacher)
            kept: slice | Tensor = slice(None)
            if valid is not None:
                kept = valid.nonzero().squeeze(1)
            both = torch.cat([student, teacher], dim=1)
            others = other_ranks(gather_rows(both[kept]))
            negatives, teacher_negatives = others.chunk(2, dim=1)
            if class_ids is not None:
                other_labels = other_ranks(gather_rows(class_ids[kept]))
                class_ids = torch.cat([class_ids, other_labels])
        compare = partial(
            ckd_loss,
            teacher=teacher,
            tau=self.tau,
            valid=valid,
            labels=class_ids,
        )
        columns = [compare(student, negatives=negatives)]
        if self.diagnostics is not None:
            with torch.no_grad():
                columns.append(compare(teacher, negatives=teacher_negatives))
                blank = negatives if negatives is None else 0 * negatives
                columns.append(compare(0 * student, negatives=blank))
        if self.gather:
            if weights is None:
                weights = torch.ones_like(columns[0])
            table = torch.stack([*columns, weights.to(columns[0])], dim=1)
            *columns, weights = torch.cat(gather_rows(table)).unbind(1)
            weights = weights.detach()
        means = [weighted_mean(column, weights) for column in columns]
        if self.diagnostics is not None:
            self.diagnostics.append({'gap': ckd_gap(*means)})
        return self.loss_weight * means[0]
