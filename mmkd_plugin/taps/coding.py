"""Deltas of boxes in the coding of another model."""

import torch.nn as nn
from torch import Tensor

from ..exceptions import MMKDTypeError


def recode(deltas: Tensor, coder, wanted) -> Tensor:
    """Deltas of one coder in the units of another.

    Args:
        deltas: (N, 4).
        coder, wanted: Have ``means`` and ``stds``, four numbers each.

    Returns:
        (N, 4).
    """
    if (*coder.means, *coder.stds) == (*wanted.means, *wanted.stds):
        return deltas
    means, stds, new_means, new_stds = (
        deltas.new_tensor(numbers)
        for numbers in (coder.means, coder.stds, wanted.means, wanted.stds)
    )
    return (deltas * stds + means - new_means) / new_stds


def refuse_coder(
    role: str, model: nn.Module, head: nn.Module, tap: str, example: str
) -> None:
    """Refuse a head whose boxes are no deltas.

    Args:
        role: What to call the model in the message.
        model: Has the head.
        head: Has a ``bbox_coder``, unless it refines no boxes.
        tap: Name of the tap.
        example: Name of a head that it reads.

    Raises:
        TypeError: If it has no boxes, or another coder.
    """
    coder = getattr(head, 'bbox_coder', None)
    kinds = {kind.__name__ for kind in type(coder).__mro__}
    if (
        not getattr(head, 'with_reg', True)
        or 'DeltaXYWHBBoxCoder' not in kinds
    ):
        raise MMKDTypeError(
            f'The {type(head).__name__} of the {role} {type(model).__name__} '
            f'codes boxes by {type(coder).__name__}, but {tap} reads the '
            f'deltas of a DeltaXYWHBBoxCoder: use a head such as {example}.'
        )
