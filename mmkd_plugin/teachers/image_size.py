"""Teachers that take images of some sizes only, such as some ViTs."""

from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ..exceptions import MMKDError, MMKDValueError

# Attributes of backbones and patch embeddings of MMPretrain, MMDetection and
# timm.
NAMES = ('img_size', 'init_input_size')


def extract_feat(model: Any, images: Tensor) -> Any:
    """A model's features, or a sentence on the size of the images.

    Args:
        model: Has ``extract_feat`` and a ``backbone``.
        images: (B, 3, H, W).

    Returns:
        Result of ``model.extract_feat``.

    Raises:
        ValueError: If it fails, but does not with the size of image that its
            backbone was built for.
    """
    try:
        return model.extract_feat(images)
    except (MMKDError, torch.OutOfMemoryError):
        raise
    except (AssertionError, RuntimeError, ValueError) as error:
        size, built = tuple(images.shape[-2:]), built_size(model)
        if built in (None, size) or not _takes(model, images, built):
            raise
        reason = str(error).strip().splitlines()
        raise MMKDValueError(
            f'The teacher {type(model).__name__} was built for images of '
            f'{built[0]} x {built[1]} and cannot take those of {size[0]} x '
            f'{size[1]} ({reason[0] if reason else type(error).__name__}): '
            f'set `input_size={built}` in `teacher`, or another size that it '
            'takes.'
        ) from error


def built_size(model: nn.Module) -> Any:
    """Height and width of the images that a backbone was built for.

    Args:
        model: Has a ``backbone``.

    Returns:
        Two integers; None if the backbone does not tell.
    """
    backbone = getattr(model, 'backbone', None)
    for module in () if backbone is None else backbone.modules():
        for name in NAMES:
            size = getattr(module, name, None)
            if isinstance(size, int):
                return size, size
            if isinstance(size, (list, tuple)) and len(size) == 2:
                return tuple(size)
    return None


def _takes(model: Any, images: Tensor, size: tuple[int, int]) -> bool:
    """Whether a model computes features of an image of some size."""
    try:
        model.extract_feat(images.new_zeros(1, images.shape[1], *size))
    except Exception:
        return False  # the cause is another one, which the caller raises
    return True
