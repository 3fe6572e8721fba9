"""What the taps know of the RPN heads of two-stage detectors.

B images, L levels of h_l x w_l places with A anchors each.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn as nn
from torch import Tensor

from ...exceptions import MMKDTypeError


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
            'a two-stage detector with one, such as Faster or Mask R-CNN, or '
            'give the loss the `tap` of another head, such as DenseHeadTap '
            'of a one-stage detector.'
        )
    if head.cls_out_channels != 1:
        raise MMKDTypeError(
            f'The RPN of the {role} {name} has {head.cls_out_channels} logits '
            f'per anchor with a softmax, but {tap} reads one with a sigmoid: '
            'set `use_sigmoid=True` in `rpn_head.loss_cls`.'
        )
