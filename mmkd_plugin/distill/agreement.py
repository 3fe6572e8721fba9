"""How often student and teacher predict the same class.

N samples, C classes.
"""

import torch
from torch import Tensor

# Suffixes of the names in the log.
AGREEMENT = ('agreement', 'teacher_acc')
# Of the foreground alone.
FOREGROUND = tuple(f'fg_{name}' for name in AGREEMENT)


@torch.no_grad()
def agreement(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    prefix: str,
    background: int = 0,
) -> dict[str, Tensor]:
    """Agreement and teacher accuracy, over the samples with weight > 0.

    Args:
        student: Logits, (N, C).
        teacher: Logits, (N, C).
        labels: Class ids (N,), or soft labels (N, C), of which the argmax
            is taken.
        weights: (N,).
        prefix: Prefix of the names.
        background: Number of columns that are background, the last ones.

    Returns:
        Scalars in percent, 0 to 100, and NaN where no sample counts.
        ``{prefix}_agreement``: student and teacher predict the same class.
        ``{prefix}_teacher_acc``: the teacher predicts the label.  With a
        ``background``, both also over the samples of which the label is none,
        as ``{prefix}_fg_agreement`` and ``{prefix}_fg_teacher_acc``.
    """
    if labels.ndim == 2:
        labels = labels.argmax(1)
    predicted = teacher.argmax(1)
    hits = torch.stack([predicted == student.argmax(1), predicted == labels])
    counted = weights > 0
    found = dict(zip(AGREEMENT, _percent(hits, counted)))
    if background:
        counted = counted & (labels < student.shape[1] - background)
        found.update(zip(FOREGROUND, _percent(hits, counted)))
    return {f'{prefix}_{name}': value for name, value in found.items()}


def _percent(hits: Tensor, counted: Tensor) -> Tensor:
    """How many of the samples that count are hits, (2,) of (2, N)."""
    # 0 / 0 is NaN: asking whether any counts would synchronize the GPU.
    return 100 * (hits & counted).sum(1) / counted.sum()
