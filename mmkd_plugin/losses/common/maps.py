"""Checks and preparation of feature maps.

Shapes: B images, L levels; C channels and h x w places of a level.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...arguments import check_integer, shown
from ...exceptions import MMKDTypeError, MMKDValueError

Maps = Sequence[Tensor]


def prepare_maps(
    student: Maps, teacher: Maps, adapters: nn.ModuleList | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Check the maps of both, upcast them, adapt the student's.

    Args:
        student: L maps, each (B, C, h, w), any floating type.
        teacher: L maps; they get no gradient.
        adapters: Result of :func:`build_adapters`.

    Returns:
        Student and teacher of each level, of one shape and dtype: float64
        if either was, float32 otherwise.

    Raises:
        TypeError: If they are no maps.
        ValueError: If their number or shapes differ.
    """
    for role, maps in (('student', student), ('teacher', teacher)):
        if isinstance(maps, Tensor) or any(m.ndim != 4 for m in maps):
            raise MMKDTypeError(
                f'Expected argument `{role}` to be feature maps, each of '
                f'shape (B, C, h, w), but got {_shapes(maps)}: let the loss '
                "read from a tap of features, tap=dict(type='FeatureTap')."
            )
    counts = {len(student), len(teacher)}
    if adapters is not None:
        counts.add(len(adapters))
    if len(counts) > 1:
        layers = f' and {len(adapters)} adapters' if adapters else ''
        raise MMKDValueError(
            f'Expected equally many levels but got {len(student)} of the '
            f'student, {len(teacher)} of the teacher{layers}: name the same '
            '`levels` for all.'
        )
    pairs = []
    for i, (own, target) in enumerate(zip(student, teacher)):
        dtype = torch.promote_types(own.dtype, target.dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        own, target = own.to(dtype), target.detach().to(dtype)
        if adapters is not None:
            own = _adapt(adapters[i], own, i)
        if own.shape != target.shape:
            what, cure = 'sizes', 'set `resize=True` in its FeatureTap'
            if own.shape[:1] != target.shape[:1]:
                what, cure = 'batches', 'show both the same images'
            elif own.shape[1] != target.shape[1]:
                what = 'channels'
                cure = (
                    'set `student_channels` and `teacher_channels`, the '
                    'channels of each level, for an adapter'
                )
            raise MMKDValueError(
                f'The maps of level {i} differ in their {what}: student '
                f'{tuple(own.shape)}, teacher {tuple(target.shape)}; {cure}.'
            )
        pairs.append((own, target))
    return pairs


def build_adapters(
    student_channels: Sequence[int] | None,
    teacher_channels: Sequence[int] | None,
) -> nn.ModuleList | None:
    """A 1x1 convolution per level, from the student's to the teacher's size.

    Args:
        student_channels: Channels of the student's maps, (L,).
        teacher_channels: Channels of the teacher's maps, (L,).  Both None:
            no adapter.

    Raises:
        TypeError, ValueError: If only one is given, or they are no equally
            long lists of positive integers.
    """
    if student_channels is None and teacher_channels is None:
        return None
    check_channels(student_channels=student_channels)
    check_channels(teacher_channels=teacher_channels)
    own, target = list(student_channels or ()), list(teacher_channels or ())
    if len(own) != len(target):
        raise MMKDValueError(
            'Expected arguments `student_channels` and `teacher_channels` to '
            f'be equally long but got {len(own)} and {len(target)} levels.'
        )
    return nn.ModuleList(nn.Conv2d(c, d, 1) for c, d in zip(own, target))


def check_channels(**arguments: object) -> None:
    """Raise unless each argument has the channels of at least one level.

    Raises:
        TypeError: If it is no list or tuple, or empty.
        ValueError: If a number is no positive integer.
    """
    for name, value in arguments.items():
        if not isinstance(value, (list, tuple)) or not value:
            raise MMKDTypeError(
                f'Expected argument `{name}` to be a list with the channels '
                f'of each level but got {shown(value)}.'
            )
        for number in value:
            check_integer(name, number, 1)


def _adapt(adapter: nn.Module, own: Tensor, level: int) -> Tensor:
    weight = next(adapter.parameters())
    if own.shape[1] != weight.shape[1]:
        raise MMKDValueError(
            f'The map of level {level} of the student has {own.shape[1]} '
            f'channels, but `student_channels` says {weight.shape[1]}.'
        )
    return adapter(own.to(weight.dtype))


def _shapes(maps: object) -> str:
    if isinstance(maps, Tensor):
        return f'one tensor of shape {tuple(maps.shape)}'
    return f'tensors of shapes {[tuple(m.shape) for m in maps]}'  # type: ignore[attr-defined]
