"""Feature maps in a dtype and memory format that mmcv's RoIAlign supports."""

from collections.abc import Iterable

import torch
import torch.nn as nn
from torch import Tensor


def to_roi_align(features: Iterable[Tensor]) -> list[Tensor]:
    """Convert feature maps to what mmcv's RoIAlign supports.

    RoIAlign has no kernel for bfloat16, and reads channels-last memory as if
    it were contiguous, which silently gives wrong features.

    Args:
        features: Maps of shape (B, C, H, W).

    Returns:
        The same values; a map that needs no conversion is not copied.
    """
    return [
        (x.float() if x.dtype == torch.bfloat16 else x).contiguous()
        for x in features
    ]


def convert_inputs(module: nn.Module, args: tuple, kwargs: dict) -> tuple:
    """Forward pre-hook of an RoI extractor: see :func:`to_roi_align`."""
    if args:
        return (to_roi_align(args[0]), *args[1:]), kwargs
    return args, {**kwargs, 'feats': to_roi_align(kwargs['feats'])}
