"""Readings without the classes that a teacher does not know.

N samples, C columns: the student's K classes, then those of the background.
"""

from typing import Any

import torch
from torch import Tensor

from .terms import LOGITS, kind_of

# Kinds whose columns are classes.
OF_COLUMNS = (LOGITS, 'sigmoid')


def leave_out(reading: Any, teacher: Any, tap: Any) -> Any:
    """Leave classes out of what is compared.

    The columns of the missing classes are left out of the logits of both, so
    that a softmax is one over the classes that the teacher knows, and the
    background.  Labels are numbers of the columns that are left.

    Args:
        reading: Its logits have a column per class and background.
        teacher: One with ``missing`` classes, and ``known`` columns.
        tap: Has given the reading.

    Returns:
        The reading. Of logits of a softmax, samples with a label that the
        teacher does not know have the weight 0, and of soft labels it is the
        fraction that it knows; of binary logits, such samples belong to none
        of the classes that are left. Anything else as it was.
    """
    if kind_of(tap) not in OF_COLUMNS:
        return reading
    student, other, labels, weights = reading
    known = teacher.known
    if labels.ndim == 2:
        labels = labels[:, known]
        mass = labels.sum(1)
        labels = labels / mass.clamp(min=torch.finfo(mass.dtype).tiny)[:, None]
        weights = weights * mass
    else:
        labels, told = _renumber(labels, teacher.missing, len(known))
        if kind_of(tap) == LOGITS:
            labels, weights = labels.clamp(max=len(known) - 1), weights * told
    return reading._replace(
        student=student[:, known],
        teacher=other[:, known],
        labels=labels,
        weights=weights,
    )


def _renumber(
    labels: Tensor, missing: Tensor, left: int
) -> tuple[Tensor, Tensor]:
    """Numbers of the columns that are left, and which labels have one.

    The others, also those that had none before, get the number ``left``.
    """
    told = (labels >= 0) & (labels < len(missing))
    index = labels.clamp(0, len(missing) - 1)
    told &= ~missing[index]
    number = (~missing).cumsum(0) - 1
    return torch.where(told, number[index], left), told
