"""The towers of dense heads, run on the features of a student.

A dense head has two towers of convolutions, for classes and for boxes, that
run on each of L levels; channel statistics are over B images and a level's
h x w places.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ...exceptions import MMKDTypeError, MMKDValueError
from .dense_heads import family_of

# Last layers of the heads whose towers can be crossed: classes and boxes.
LAST = dict(
    RetinaHead=('retina_cls', 'retina_reg'),
    FCOSHead=('conv_cls', 'conv_reg'),
    ATSSHead=('atss_cls', 'atss_reg'),
    GFLHead=('gfl_cls', 'gfl_reg'),
)
TOWERS = ('cls_convs', 'reg_convs')
CLASSES, BOXES = 0, 1

Statistics = tuple[Tensor, Tensor]


class OnTower:
    """A question to a teacher: one of its towers on the student's features.

    Questions on the same forward, tower and place are equal, so that several
    taps share one pass.

    Args:
        forward: A map that the student's head gave in this forward.
        branch: 0 for the tower of the classes, 1 for that of the boxes.
        reuse: How many of its convolutions the student has run.
        statistics: Of the teacher's features at that place, by level.
    """

    def __init__(
        self,
        forward: Tensor,
        branch: int,
        reuse: int,
        statistics: Sequence[Statistics],
    ) -> None:
        self._forward = forward
        self._place = branch, reuse
        self._statistics = statistics

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, OnTower)
            and other._forward is self._forward
            and other._place == self._place
        )

    def __hash__(self) -> int:
        return hash((id(self._forward), self._place))

    def __call__(
        self, model: nn.Module, features: Sequence[Tensor]
    ) -> list[Tensor]:
        """The maps of the tower, in the form that the teacher gives in eval.

        Args:
            model: The teacher.
            features: Of the student, before the activation, by level.
        """
        branch, reuse = self._place
        head: Any = model.bbox_head
        convs = getattr(head, TOWERS[branch])
        last = getattr(head, LAST[family_of(head)][branch])
        found = []
        for level, statistics in enumerate(self._statistics):
            x = align_scale(features[level], *statistics)
            if reuse and convs[reuse - 1].with_activation:
                x = convs[reuse - 1].activate(x)
            for conv in convs[reuse:]:
                x = conv(x)
            x = last(x)
            found.append(_as_boxes(head, x, level) if branch else x)
        return found


def _as_boxes(head: Any, x: Tensor, level: int) -> Tensor:
    """What follows the last layer of the boxes, in eval mode."""
    family = family_of(head)
    if family == 'RetinaHead':
        return x
    x = head.scales[level](x).float()
    if family != 'FCOSHead':
        return x
    if head.norm_on_bbox:
        return x.clamp(min=0) * head.prior_generator.strides[level][0]
    return x.exp()


def channel_statistics(x: Tensor) -> Statistics:
    """Mean and unbiased standard deviation of each channel, (1, C, 1, 1)."""
    x = x.float()
    count = x.numel() // max(x.shape[1], 1)
    # Of one value there is none; it counts as constant.
    std = x.std(dim=(0, 2, 3), keepdim=True, correction=int(count > 1))
    return x.mean(dim=(0, 2, 3), keepdim=True), std


def align_scale(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Give the channels of a map another mean and standard deviation.

    Args:
        x: (B, C, h, w).
        mean, std: See :func:`channel_statistics`.

    Returns:
        ``(x - mean(x)) / (std(x) + 1e-6) * std + mean`` in float32; a
        constant channel becomes ``mean``, with gradient 0.

    References:
        CrossKD, the released code, ``align_scale``.
    """
    own_mean, own_std = channel_statistics(x)
    own_std = own_std.masked_fill(own_std == 0, torch.inf)
    return (x.float() - own_mean) / (own_std + 1e-6) * std + mean


def refuse_crossing(
    student: nn.Module, teacher: nn.Module, branch: int, reuse: int
) -> None:
    """Refuse towers that cannot be crossed.

    Args:
        student, teacher: Detectors with dense heads.
        branch: 0 for the tower of the classes, 1 for that of the boxes.
        reuse: How many of its convolutions the student runs.

    Raises:
        TypeError: If a head has no such towers, or they differ in depth or
            width.
        ValueError: If they are not that deep.
    """
    for role, model in (('student', student), ('teacher', teacher)):
        head = model.bbox_head
        if family_of(head) not in LAST:
            raise MMKDTypeError(
                f'The {type(head).__name__} of the {role} '
                f'{type(model).__name__} has no towers that can be crossed, '
                f'as those of a {", ".join(LAST)} can: take `crossed=True` '
                'out.'
            )
    heads: Any = student.bbox_head, teacher.bbox_head
    towers = [getattr(head, TOWERS[branch]) for head in heads]
    depths = [len(tower) for tower in towers]
    widths = [head.in_channels for head in heads]
    if reuse and all(depth >= reuse for depth in depths):
        widths = [tower[reuse - 1].out_channels for tower in towers]
    for what, found in (('depth', depths), ('width', widths)):
        if found[0] != found[1]:
            raise MMKDTypeError(
                'Crossing needs a teacher whose towers are like those of the '
                f'student, but their {what} differs: student {found[0]}, '
                f'teacher {found[1]}; take `crossed=True` out, or use a head '
                "like the teacher's."
            )
    if reuse > depths[0]:
        raise MMKDValueError(
            'Expected argument `reuse` to be at most the number of '
            f'convolutions in a tower, {depths[0]}, but got {reuse}.'
        )
