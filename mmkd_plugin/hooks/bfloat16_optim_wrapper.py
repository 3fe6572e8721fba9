"""Training in bfloat16 on any device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn as nn
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Compute the forward of a training step under bfloat16 autocast.

    For CPUs, which MMEngine's ``AmpOptimWrapper`` refuses; it works on GPUs
    too.  bfloat16 has the range of float32, so no loss scaling is
    needed.  Weights, gradients and the distillation terms stay in float32.

    Args:
        **kwargs: The arguments of ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the model's forward under autocast."""
        device = next(model.parameters()).device.type
        with (
            super().optim_context(model),
            torch.autocast(device, dtype=torch.bfloat16),
        ):
            yield
