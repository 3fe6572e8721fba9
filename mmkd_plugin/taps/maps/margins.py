"""Margins of OFD: how far below 0 a channel is on average, where it is.

C channels.
"""

import math

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ...exceptions import MMKDTypeError

# Probability of a number below 0, from which on the mean of such is computed.
RARE = 0.001


def margins(scale: Tensor, shift: Tensor) -> Tensor:
    """Means of what is below 0 of normal distributions.

    For each channel::

        s = |scale|
        x from a normal distribution of the mean shift and the deviation s
        m = E[x | x < 0] = shift - s * phi(shift / s) / Phi(-shift / s)

    or -3 s where x < 0 has a probability of 0.001 or less.

    Args:
        scale: Weight of a batch norm, (C,).
        shift: Its bias, (C,).

    Returns:
        (C,), float32, 0 or below; min(shift, 0) where the scale is 0.

    References:
        Heo, Kim, Yun, Park, Kwak, Choi. A Comprehensive Overhaul of Feature
        Distillation. ICCV 2019, arXiv 1904.01866, the section on the teacher
        transform and its margin; -3 s is in the authors' code.

    Example:
        >>> import torch
        >>> found = margins(torch.tensor([1.0, -2.0, 0.0]), torch.zeros(3))
        >>> [round(m, 4) for m in found.tolist()]
        [-0.7979, -1.5958, 0.0]
    """
    s, shift = scale.detach().float().abs(), shift.detach().float()
    ratio = shift / s.masked_fill(s == 0, 1)
    density = (-ratio.square() / 2).exp() / math.sqrt(2 * math.pi)
    below = torch.special.ndtr(-ratio)
    mean = shift - s * density / below.clamp(min=RARE)
    mean = torch.where(below > RARE, mean, -3 * s)
    return torch.where(s == 0, shift.clamp(max=0), mean)


def margins_at(model: nn.Module, place: str) -> Tensor:
    """The margins of the map before a ReLU, (C,).

    Args:
        model: A teacher.
        place: Of the map, see :mod:`~mmkd_plugin.taps.maps.stage_paths`: a
            batch norm, the input of a ReLU that follows one in a sequence, or
            of the last ReLU of a residual block, whose last batch norm
            counts.

    Raises:
        TypeError: If there is no batch norm.
    """
    norm = _norm_before(model, place)
    if not isinstance(norm, _BatchNorm) or norm.weight is None:
        raise MMKDTypeError(
            'OFDTap takes margins from the weights of the batch norm before '
            f'a ReLU, but the teacher {type(model).__name__} has none at '
            f'{place!r}: name `teacher_modules` that have one, or distil with '
            'another loss of features.'
        )
    return margins(norm.weight, norm.bias)


def _norm_before(model: nn.Module, place: str) -> nn.Module | None:
    path, _, part = place.partition('@')
    if not part:
        return model.get_submodule(path)
    above, _, name = path.rpartition('.')
    parent = model.get_submodule(above)
    if isinstance(parent, nn.Sequential):
        layers = [*parent.named_children()]
        before = [n for n, _ in layers].index(name) - 1
        return layers[before][1] if before >= 0 else None
    # Of a residual block.  Others concatenate, or shuffle, what they sum up.
    if not hasattr(parent, 'downsample'):
        return None
    norms = [m for m in parent.children() if isinstance(m, _BatchNorm)]
    return norms[-1] if norms else None
