"""The rows of heads that predict at every place of feature maps.

B images, L levels of h_l x w_l places with A anchors each, M = B A sum_l h_l
w_l rows.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..arguments import shown
from ..exceptions import MMKDRuntimeError, MMKDTypeError

# Attributes of a generator that decide where its anchors or points are.
ANCHORS = (
    'strides',
    'base_sizes',
    'scales',
    'ratios',
    'scale_major',
    'centers',
    'center_offset',
    'offset',
)


def as_rows(maps: Sequence[Tensor], columns: int) -> Tensor:
    """The numbers of each anchor as a row, in the order of the losses.

    Args:
        maps: (B, A columns, h_l, w_l), of all levels.
        columns: Numbers per anchor.

    Returns:
        A row per anchor, (M, columns): level by level, and in a level by
        image, y, x and anchor.
    """
    return torch.cat(
        [x.permute(0, 2, 3, 1).reshape(-1, columns) for x in maps]
    )


def refuse_anchors(own, other, whose: str, what: str) -> None:
    """Refuse a teacher whose anchors are not those of the student.

    Args:
        own, other: The ``prior_generator`` of student and teacher.
        whose: The head, with its article, for the message.
        what: What not to distil otherwise.

    Raises:
        TypeError: If the generators differ.
    """
    for name in ('kind', *ANCHORS):
        found = [_setting(part, name) for part in (own, other)]
        if found[0] != found[1]:
            raise MMKDTypeError(
                f'Distillation of {whose} needs a teacher with the anchors of '
                f'the student, but their `{name}` differ: student '
                f'{shown(found[0])}, teacher {shown(found[1])}; give both the '
                f'same `anchor_generator`, or distil no {what}.'
            )


def _setting(generator, name: str) -> object:
    """An attribute of a generator, to compare and to print."""
    if name == 'kind':
        return type(generator).__name__
    value = getattr(generator, name, None)
    return value.tolist() if isinstance(value, Tensor) else value


def refuse_other_maps(
    own: Sequence[tuple], other: Sequence[tuple], what: str, tap: str
) -> None:
    """Refuse maps of a teacher whose rows are not those of the student.

    Args:
        own, other: The shapes of the maps of student and teacher.
        what: The head, for the message.
        tap: Name of the tap.

    Raises:
        RuntimeError: If they differ.
    """
    if own != other:
        raise MMKDRuntimeError(
            f'The {what} of the student gave maps of shape {own} and '
            f'that of the teacher {other}, but {tap} needs the same '
            'places of the same images: use necks with the strides of the '
            'anchors.'
        )
