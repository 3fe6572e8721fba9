"""Batch normalisation of a frozen teacher by the statistics of its batch."""

from collections.abc import Callable

import torch.nn as nn
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from ...exceptions import MMKDValueError


def use_batch_statistics(
    model: nn.Module, wanted: Callable[[], bool]
) -> list[RemovableHandle]:
    """Let the batch norms of a model normalise as if they were in training.

    By the statistics of the batch of this process.  Nothing of the model
    changes: neither its mode nor its running statistics, nor the number of
    batches that they count.

    Args:
        model: In eval mode.
        wanted: Whether to do so now.

    Returns:
        What undoes it.
    """

    def normalize(module: nn.Module, args: tuple, output: Tensor):
        if not wanted():
            return None
        (given,) = args
        if given[:, 0].numel() == 1:
            raise MMKDValueError(
                'The teacher is to normalise by the statistics of its batch, '
                'but that is of one image and one place: give a process more '
                'images, or set `batch_statistics=False` in the OFDTap.'
            )
        return F.batch_norm(
            given,
            None,
            None,
            module.weight,
            module.bias,
            training=True,
            eps=module.eps,
        )

    # Before the hooks of taps, which are to read the result.
    return [
        module.register_forward_hook(normalize, prepend=True)
        for module in model.modules()
        if isinstance(module, _BatchNorm)
    ]
