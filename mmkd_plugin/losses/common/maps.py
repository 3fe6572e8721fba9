"""Checks and preparation of feature maps.

Shapes: B images, L levels; C channels and h x w places of a level.
"""

from collections.abc import Sequence, Sized

import torch
from torch import Tensor, nn

from ...arguments import check_integer, shown
from ...exceptions import MMKDTypeError, MMKDValueError

Maps = Sequence[Tensor]


def prepare_maps(
    student: Maps,
    teacher: Maps,
    adapters: nn.ModuleList | None = None,
    *,
    any_channels: bool = False,
    any_sizes: bool = False,
) -> list[tuple[Tensor, Tensor]]:
    """Check the maps of both, upcast them, adapt the student's.

    Args:
        student: L maps, each (B, C, h, w), any floating type.
        teacher: L maps; they get no gradient.
        adapters: Result of :func:`build_adapters`.
        any_channels: Whether the channels of both may differ.
        any_sizes: Whether height and width may.

    Returns:
        Student and teacher of each level, of one shape, but for what may
        differ, and one dtype: float64 if either was, float32 otherwise.

    Raises:
        TypeError: If they are no maps.
        ValueError: If their number or shapes differ.
    """
    check_levels(student, teacher, adapters)
    pairs = []
    for i, (own, target) in enumerate(zip(student, teacher)):
        dtype = torch.promote_types(own.dtype, target.dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        own, target = own.to(dtype), target.detach().to(dtype)
        if adapters is not None:
            weight = next(adapters[i].parameters())
            check_width('student', own, weight.shape[1], i)
            own = adapters[i](own.to(weight.dtype))
        _check_shapes(own, target, i, any_channels, any_sizes)
        pairs.append((own, target))
    return pairs


def _check_shapes(
    own: Tensor,
    target: Tensor,
    level: int,
    any_channels: bool,
    any_sizes: bool,
) -> None:
    """Raise ValueError unless two maps agree, but for what may differ."""
    if own.shape[0] != target.shape[0]:
        what, cure = 'batches', 'show both the same images'
    elif own.shape[1] != target.shape[1] and not any_channels:
        what = 'channels'
        cure = (
            'set `student_channels` and `teacher_channels`, the channels of '
            'each level, for an adapter'
        )
    elif own.shape[2:] != target.shape[2:] and not any_sizes:
        what, cure = 'sizes', 'set `resize=True` in its FeatureTap'
    else:
        return
    raise MMKDValueError(
        f'The maps of level {level} differ in their {what}: student '
        f'{tuple(own.shape)}, teacher {tuple(target.shape)}; {cure}.'
    )


def check_levels(
    student: Maps, teacher: Maps, layers: Sized | None = None
) -> None:
    """Raise unless both are maps of equally many levels.

    Args:
        student: L maps, each (B, C, h, w).
        teacher: L maps, each (B, C, h, w).
        layers: What is trained per level, L of them.

    Raises:
        TypeError: If they are no maps.
        ValueError: If their number differs.
    """
    for role, maps in (('student', student), ('teacher', teacher)):
        if isinstance(maps, Tensor) or any(m.ndim != 4 for m in maps):
            raise MMKDTypeError(
                f'Expected argument `{role}` to be feature maps, each of '
                f'shape (B, C, h, w), but got {_shapes(maps)}: let the loss '
                "read from a tap of features, tap=dict(type='FeatureTap')."
            )
    told = len(student) if layers is None else len(layers)
    if not len(student) == len(teacher) == told:
        also = '' if layers is None else f', and channels of {told}'
        raise MMKDValueError(
            f'Expected equally many levels but got {len(student)} of the '
            f'student, {len(teacher)} of the teacher{also}: name the same '
            '`levels` for all.'
        )


def check_width(role: str, found: Tensor, channels: int, level: int) -> None:
    """Raise ValueError unless a map has the channels that were told.

    Args:
        role: Whose map it is, ``student`` or ``teacher``.
        found: The map, (B, C, h, w).
        channels: What ``student_channels`` or ``teacher_channels`` says.
        level: Index of the level, for the message.
    """
    if found.shape[1] != channels:
        raise MMKDValueError(
            f'The map of level {level} of the {role} has {found.shape[1]} '
            f'channels, but `{role}_channels` says {channels}.'
        )


def check_places(maps: Tensor, level: int, loss: str) -> None:
    """Raise ValueError if batch normalisation has one value per channel.

    Args:
        maps: (B, C, h, w).
        level: Index of the level, for the message.
        loss: Name of the class, for the message.
    """
    if maps[:, 0].numel() == 1:
        raise MMKDValueError(
            f'The map of level {level} is of one image and has one place, '
            f'which the batch normalization of {loss} cannot normalise: give '
            'a process more images, or leave the level out by `levels` of '
            'its FeatureTap.'
        )


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
    check_channels(
        student_channels=student_channels, teacher_channels=teacher_channels
    )
    return nn.ModuleList(
        nn.Conv2d(own, target, 1)
        for own, target in zip(student_channels or (), teacher_channels or ())
    )


def check_channels(**arguments: object) -> None:
    """Raise unless each argument has the channels of the same levels.

    Raises:
        TypeError: If one is no list or tuple, or empty.
        ValueError: If a number is no positive integer, or the lists are not
            equally long.
    """
    for name, value in arguments.items():
        if not isinstance(value, (list, tuple)) or not value:
            raise MMKDTypeError(
                f'Expected argument `{name}` to be a list with the channels '
                f'of each level but got {shown(value)}.'
            )
        for number in value:
            check_integer(name, number, 1)
    counts = [len(value) for value in arguments.values()]  # type: ignore[arg-type]
    if len(set(counts)) > 1:
        raise MMKDValueError(
            f'Expected arguments {" and ".join(f"`{n}`" for n in arguments)} '
            f'to be equally long but got {" and ".join(map(str, counts))} '
            'levels.'
        )


def _shapes(maps: object) -> str:
    if isinstance(maps, Tensor):
        return f'one tensor of shape {tuple(maps.shape)}'
    return f'tensors of shapes {[tuple(m.shape) for m in maps]}'  # type: ignore[attr-defined]
