"""CKD, contrastive knowledge distillation: tell the samples apart.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

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

# Below this mean distance of the teacher's rows from their mean, they tell no
# sample from another.
LEAST_SPREAD = 1e-4


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
def ckd_gap(
    value: Tensor, anchors: Tensor, weights: Tensor | None, *, tau: float
) -> Tensor:
    """How much of what the teacher tells apart the student does not.

    The value alone cannot be read: at chance it is ln N, and where the
    teacher's rows are alike no student is far from that. ln N less the value,
    the information of the student about the sample, is at most

        min(ln N, mean_i |t_i - t| / tau),

    where t is the mean of the t_i: a loss is at least 0, and by Jensen's
    inequality at least
    ``ln N - t_i . s_i / tau + mean_j t_i . s_j / tau``. The second is
    nearly reached with a tau of 1 or above.

    Args:
        value: Weighted mean of :func:`ckd_loss`, without ``labels``.
        anchors: The teacher's rows t_i, of length 1, of all N samples that
            are compared, (N, C).
        weights: Of the rows, (N,); one of weight 0 is left out. None: 1.
        tau: Temperature, positive.

    Returns:
        1 less the information relative to that bound, not below 0: 1 for a
        student that tells no sample from another, above 1 for one that is
        worse. NaN if the teacher tells none from another.
    """
    if weights is None:
        weights = anchors.new_ones(len(anchors))
    weights = weights.to(anchors)[:, None]
    valid = weights > 0
    rows = valid.sum()
    anchors = anchors.masked_fill(~valid, 0) * weights
    apart = (anchors - anchors.sum(0) / rows).masked_fill(~valid, 0)
    spread = apart.norm(dim=1).sum() / rows
    chance = weights.sum() / rows * rows.log()
    room = torch.minimum(chance, spread / tau)
    gap = 1 - (chance - value) / room
    return gap.masked_fill(~(spread > LEAST_SPREAD), torch.nan)


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
    # A Distiller puts a list here. See `ckd_gap`, whose N is one for all
    # samples: not with `same_class_negatives=False`.
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
        valid = negatives = class_ids = None
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
            negatives = other_ranks(gather_rows(student[kept]))
            if class_ids is not None:
                other_labels = other_ranks(gather_rows(class_ids[kept]))
                class_ids = torch.cat([class_ids, other_labels])
        losses = ckd_loss(
            student,
            teacher,
            tau=self.tau,
            valid=valid,
            negatives=negatives,
            labels=class_ids,
        )
        told = self.diagnostics is not None and self.same_class_negatives
        anchors = teacher.detach().to(losses)
        anchors = unit_rows(anchors) if told else anchors[:, :0]
        if self.gather:
            if weights is None:
                weights = torch.ones_like(losses)
            columns = [losses[:, None], weights.to(losses)[:, None], anchors]
            table = torch.cat(gather_rows(torch.cat(columns, dim=1)))
            losses, weights = table[:, 0], table[:, 1].detach()
            anchors = table[:, 2:]
        mean = weighted_mean(losses, weights)
        if self.diagnostics is not None and told:
            gap = ckd_gap(mean, anchors, weights, tau=self.tau)
            self.diagnostics.append({'gap': gap})
        return self.loss_weight * mean
