"""Which detectors with queries the taps can read.

B images, L decoder layers, N queries, C classes.
"""

from typing import Any, NamedTuple

import torch.nn as nn
from torch import Tensor

from ...exceptions import MMKDRuntimeError, MMKDTypeError
from ..sigmoid import uses_sigmoid

# Detectors derived from DINO with a decoder of another kind.
OTHERS = {'DDQDETR', 'GroundingDINO'}

Shapes = list[tuple[int, int]]


class Predictions(NamedTuple):
    """What the decoder layers of a detector say of their queries.

    Attributes:
        logits: Binary logits, (L, B, N, C).
        boxes: cx, cy, w, h as fractions of the image without its padding,
            (L, B, N, 4).
    """

    logits: Tensor
    boxes: Tensor


def refuse_detr(role: str, model: nn.Module, tap: str) -> None:
    """Refuse a model whose decoder the taps cannot read.

    Args:
        role: What to call the model in the message.
        model: Not wrapped.
        tap: Name of the tap.

    Raises:
        TypeError: If it is no Deformable DETR or DINO with a sigmoid per
            class.
    """
    name = type(model).__name__
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if 'DeformableDETR' not in kinds or kinds & OTHERS:
        raise MMKDTypeError(
            f'Expected the {role} to be a DeformableDETR or a DINO, which '
            f'{tap} reads, but got {name}, whose transformer is another one '
            'or none: take one of the two, or distil by a FeatureTap on the '
            'neck or backbone.'
        )
    head: Any = model.bbox_head
    if not uses_sigmoid(head.loss_cls):
        raise MMKDTypeError(
            f'The head of the {role} {name} is trained by '
            f'{type(head.loss_cls).__name__} with a softmax over the classes, '
            f'but {tap} reads a head with a sigmoid per class: set '
            '`use_sigmoid=True` in `bbox_head.loss_cls`.'
        )


def refuse_pair(
    student: nn.Module, teacher: nn.Module, tap: str, *settings: str
) -> None:
    """Refuse a teacher that differs from its student where it must not.

    Args:
        student, teacher: Detectors that :func:`refuse_detr` accepts.
        tap: Name of the tap.
        *settings: Paths of attributes that must be equal, beside the number
            of levels and the padding.

    Raises:
        TypeError: If one differs.
    """
    for path in (
        'num_feature_levels',
        'data_preprocessor.pad_size_divisor',
        *settings,
    ):
        own, other = (_setting(model, path) for model in (student, teacher))
        if own != other:
            raise MMKDTypeError(
                f'{tap} needs a student and a teacher of the same `{path}`, '
                f'but the student has {own} and the teacher {other}: give '
                'both the same.'
            )


def refuse_shapes(own: Shapes, other: Shapes, tap: str) -> None:
    """Refuse levels of student and teacher that differ in size.

    Raises:
        RuntimeError: If they do.
    """
    if own != other:
        raise MMKDRuntimeError(
            f'The encoder of the student read levels of size {own} and that '
            f'of the teacher {other}, but {tap} needs the same places of the '
            'same images: use backbones and necks of the same strides, and '
            'the same padding of the images.'
        )


def _setting(model: Any, path: str) -> object:
    """An attribute of a model, to compare and to print."""
    for name in path.split('.'):
        model = getattr(model, name, None)
    return model
