"""How often student and teacher predict the same class.

N samples, C classes.
"""

import torch
from torch import Tensor

# Suffixes of the names in the log.
AGREEMENT = ('agreement', 'teacher_acc')


@torch.no_grad()
def agreement(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    prefix: str,
) -> dict[str, Tensor]:
    """Agreement and teacher accuracy, over the samples with weight > 0.

    Args:
        student: Logits, (N, C).
        teacher: Logits, (N, C).
        labels: Class ids (N,), or soft labels (N, C), of which the argmax
            is taken.
        weights: (N,).
        prefix: Prefix of the names.

    Returns:
        Scalars in [0, 1]. ``{prefix}_agreement``: student and teacher predict
        the same class. ``{prefix}_teacher_acc``: the teacher predicts the
        label.
    """
    counted = (weights > 0).float()
    total = counted.sum().clamp(min=1)
    if labels.ndim == 2:
        labels = labels.argmax(1)
    predicted = teacher.argmax(1)
    same = ((predicted == student.argmax(1)) * counted).sum()
    right = ((predicted == labels) * counted).sum()
    return {
        f'{prefix}_{name}': count / total
        for name, count in zip(AGREEMENT, (same, right))
    }
