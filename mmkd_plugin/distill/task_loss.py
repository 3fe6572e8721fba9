"""Training without the student's own losses."""

from typing import Any

import torch
from torch import Tensor, nn


def without_losses(output: dict, prefix: str) -> dict:
    """Rename the losses of a model so that they are logged and no more.

    MMEngine back-propagates every value whose name contains 'loss'.

    Args:
        output: What the model's forward returned; lists are losses per level.
        prefix: Of the new names, in which 'task' is in place of 'loss':
            s0.loss_bbox becomes kd_s0.task_bbox.

    Returns:
        A new dict; the losses are detached, which frees their graph.
    """
    kept = {}
    for name, value in output.items():
        if 'loss' in name:
            name = f'{prefix}_{name.replace("loss", "task")}'
            value = _detached(value)
        kept[name] = value
    return kept


def attached_zero(model: nn.Module) -> Tensor:
    """A 0 that gives each trained parameter of a model the gradient 0.

    A parameter that no term uses, such as that of a box branch, must have a
    gradient: ``DistributedDataParallel`` waits for it.  Zero times the losses
    would be NaN where one of them is.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    return _Zero.apply(*parameters)


class _Zero(torch.autograd.Function):
    """One node for all parameters: thousands of small ones cost time."""

    @staticmethod
    def forward(ctx: Any, *parameters: Tensor) -> Tensor:
        ctx.kinds = [(p.shape, p.dtype) for p in parameters]
        return parameters[0].new_zeros((), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        zero = grads[0].new_zeros(())
        return tuple(
            zero.to(dtype).expand(shape) for shape, dtype in ctx.kinds
        )


def _detached(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [part.detach() for part in value]
    return value.detach()
