"""How often student and teacher choose the same class.

N samples, C classes.
"""

import torch
from torch import Tensor

# What follows the prefix in the names in the log.
NAMES = ('agreement', 'teacher_acc')


@torch.no_grad()
def agreement(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    prefix: str,
) -> dict[str, Tensor]:
    """Shares of the samples of weight > 0.

    Args:
        student: Logits, (N, C).
        teacher: Logits, (N, C).
        labels: Class ids (N,), or shares of classes (N, C), of
            which the largest counts.
        weights: (N,).
        prefix: What the names begin with.

    Returns:
        Scalars in [0, 1]. ``{prefix}_agreement``: student
        and teacher choose the same class. ``{prefix}_teacher_acc``: the
        teacher chooses the label.
    """
    counted = (weights > 0).float()
    total = counted.sum().clamp(min=1)
    if labels.ndim == 2:
        labels = labels.argmax(1)
    choice = teacher.argmax(1)
    same = ((choice == student.argmax(1)) * counted).sum()
    right = ((choice == labels) * counted).sum()
    return {
        f'{prefix}_{name}': found / total
        for name, found in zip(NAMES, (same, right))
    }
