"""Feature maps as mmcv's RoIAlign can read them."""

from collections.abc import Iterable

import torch
import torch.nn as nn
from torch import Tensor


def readable(features: Iterable[Tensor]) -> list[Tensor]:
    """Make feature maps fit for mmcv's RoIAlign.

    RoIAlign has no kernel for bfloat16, and takes channels-last memory for
    contiguous, with wrong features and no message.

    Args:
        features: Maps of shape (B, C, H, W).

    Returns:
        The same values; a map that is fit is not copied.
    """
    return [
        (x.float() if x.dtype == torch.bfloat16 else x).contiguous()
        for x in features
    ]


def feed_readable(module: nn.Module, args: tuple, kwargs: dict) -> tuple:
    """Forward pre-hook of an RoI extractor: see :func:`readable`."""
    if args:
        return (readable(args[0]), *args[1:]), kwargs
    return args, {**kwargs, 'feats': readable(kwargs['feats'])}
