"""What the taps know of the RPN heads of two-stage detectors.

B images, L levels of h_l x w_l places with A anchors each.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn as nn
from torch import Tensor

from ..arguments import shown
from ..exceptions import MMKDTypeError

# Attributes of an anchor generator that decide where its anchors are.
ANCHORS = (
    'strides',
    'base_sizes',
    'scales',
    'ratios',
    'scale_major',
    'centers',
    'center_offset',
)


class Maps(NamedTuple):
    """What an RPN says of its anchors.

    Attributes:
        objectness: A map (B, A, h_l, w_l) per level, logits.
        deltas: A map (B, 4 A, h_l, w_l) per level.
    """

    objectness: Sequence[Tensor]
    deltas: Sequence[Tensor]


def rpn_maps(model: nn.Module, features: Sequence[Tensor]) -> Maps:
    """A question to a teacher: its RPN on its own feature maps.

    Args:
        model: A detector that :func:`refuse_rpn` accepts.
        features: Result of its ``extract_feat``.
    """
    return Maps(*model.rpn_head(features))


def as_rows(maps: Sequence[Tensor], columns: int) -> Tensor:
    """The numbers of each anchor as a row, in the order of the losses.

    Args:
        maps: (B, A columns, h_l, w_l), of all levels.
        columns: Numbers per anchor.

    Returns:
        A row per anchor: level by level, and in a level by image, y, x and
        anchor.
    """
    return torch.cat(
        [x.permute(0, 2, 3, 1).reshape(-1, columns) for x in maps]
    )


def refuse_rpn(role: str, model: nn.Module, tap: str) -> None:
    """Refuse a model whose RPN the taps cannot read.

    Args:
        role: What to call the model in the message.
        model: Not wrapped.
        tap: Name of the tap.

    Raises:
        TypeError: If it has no RPN of a known kind, or one with a softmax.
    """
    name = type(model).__name__
    head = getattr(model, 'rpn_head', None)
    if 'RPNHead' not in {kind.__name__ for kind in type(head).__mro__}:
        found = 'no RPN' if head is None else f'a {type(head).__name__}'
        raise MMKDTypeError(
            f'The {role} {name} has {found}, but {tap} reads an RPNHead: use '
            'a two-stage detector with one, such as Faster or Mask R-CNN.'
        )
    if head.cls_out_channels != 1:
        raise MMKDTypeError(
            f'The RPN of the {role} {name} has {head.cls_out_channels} logits '
            f'per anchor with a softmax, but {tap} reads one with a sigmoid: '
            'set `use_sigmoid=True` in `rpn_head.loss_cls`.'
        )


def refuse_anchors(student: nn.Module, teacher: nn.Module) -> None:
    """Refuse a teacher whose anchors are not those of the student.

    Raises:
        TypeError: If the generators differ.
    """
    own = student.rpn_head.prior_generator
    other = teacher.rpn_head.prior_generator
    for name in ('kind', *ANCHORS):
        found = [_setting(part, name) for part in (own, other)]
        if found[0] != found[1]:
            raise MMKDTypeError(
                'Distillation of an RPN needs a teacher with the anchors of '
                f'the student, but their `{name}` differ: student '
                f'{shown(found[0])}, teacher {shown(found[1])}; give both the '
                'same `anchor_generator`, or distil no RPN.'
            )


def _setting(generator, name: str) -> object:
    """An attribute of an anchor generator, to compare and to print."""
    if name == 'kind':
        return type(generator).__name__
    value = getattr(generator, name, None)
    return value.tolist() if isinstance(value, Tensor) else value
