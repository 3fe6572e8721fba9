"""The levels of feature maps, named by their strides.

B images, maps (B, C, h, w).  A level is named by its stride: p3 has stride
2^3.
"""

import math
from collections.abc import Sequence

from torch import Tensor

from ...arguments import shown
from ...exceptions import MMKDRuntimeError, MMKDTypeError, MMKDValueError

NAMES = tuple(f'p{n}' for n in range(10))


def choose(
    maps: Sequence[Tensor],
    size: Sequence[int],
    levels: Sequence[str] | None,
    role: str,
) -> dict[str, Tensor]:
    """The wanted levels by name; all, numbered where names repeat."""
    if not maps:
        raise MMKDRuntimeError(
            f'No module that FeatureTap reads of the {role} ran in this '
            'step: name modules of its backbone or neck.'
        )
    named: dict[str, Tensor] = {}
    repeated = ''
    for part in maps:
        name = f'p{nearest_level(part, size)}'
        repeated = name if name in named else repeated
        named[name] = part
    if levels is None:
        if repeated:
            return {f'map {n}': part for n, part in enumerate(maps)}
        return named
    if repeated in levels:
        raise MMKDRuntimeError(
            f'FeatureTap read several maps of the {role} that are '
            f'{repeated}: name the `modules` one by one, without '
            '`levels`.'
        )
    missing = [name for name in levels if name not in named]
    if missing:
        raise MMKDRuntimeError(
            f'Expected level {missing[0]} among the maps that FeatureTap '
            f'reads of the {role} but got {", ".join(named)}: set `levels` '
            'of the tap to those that student and teacher have'
            f'{"" if role == "student" else ", or `teacher_levels`"}.'
        )
    return {name: named[name] for name in levels}


def nearest_level(part: Tensor, size: Sequence[int]) -> int:
    """The n of the stride 2^n of a map, or of the one nearest to its own.

    By its size: strided layers round the number of places up, which is much
    where there are few.

    Args:
        part: (B, C, h, w).
        size: Height and width of its images.
    """
    ratio = math.log2(size[-1] / part.shape[-1])
    exact = [
        n
        for n in range(len(NAMES))
        if [math.ceil(side / 2**n) for side in size] == [*part.shape[-2:]]
    ]
    return min(exact, key=lambda n: abs(n - ratio), default=round(ratio))


def cut(part: Tensor, size: Sequence[int], both: Sequence[int]) -> Tensor:
    """The places of a map that lie in a part of its images.

    Args:
        part: (B, C, h, w).
        size: Height and width of its images.
        both: Those of the part, from the upper left corner.
    """
    if tuple(size) == tuple(both):
        return part
    stride = 2 ** nearest_level(part, size)
    strides = [float(stride)] * 2
    if [math.ceil(side / stride) for side in size] != [*part.shape[-2:]]:
        strides = [side / n for side, n in zip(size, part.shape[-2:])]
    height, width = (
        math.ceil(side / stride) for side, stride in zip(both, strides)
    )
    return part[..., :height, :width]


def read_levels(
    name: str, value: object, different: str = ''
) -> tuple[str, ...]:
    """Read an argument that names levels.

    Args:
        name: Of the argument, for the message.
        value: Its value.
        different: 'different ' if no level may be named twice.

    Raises:
        TypeError, ValueError: If it is no list of names such as p3.
    """
    if not isinstance(value, (list, tuple)) or not value:
        raise MMKDTypeError(
            f'Expected argument `{name}` to be a list of names such as p3 '
            f'(stride 8) but got {shown(value)}.'
        )
    wrong = [level for level in value if level not in NAMES]
    if wrong or (different and len(set(value)) < len(value)):
        raise MMKDValueError(
            f'Expected argument `{name}` to hold {different}names such as p3 '
            f'(stride 8) but got {shown(value)}.'
        )
    return tuple(value)
