"""What a tower of a dense head did in its last forward."""

from collections.abc import Callable

import torch.nn as nn
from torch import Tensor

from .dense_towers import TOWERS


class TowerRecord:
    """Hooks on a tower, and what they kept of its last forward.

    Args:
        branch: 0 for the tower of the classes, 1 for that of the boxes.
        reuse: After how many of its convolutions; 0: the head's input.
        training: Whether forwards in training mode count, or those in eval.
        keep: What to keep of the features of a level.  They are overwritten
            by an activation in place.
    """

    def __init__(
        self,
        branch: int,
        reuse: int,
        *,
        training: bool,
        keep: Callable[[Tensor], object],
    ) -> None:
        self._branch = branch
        self._reuse = reuse
        self._training = training
        self._keep = keep
        self.clear()

    def clear(self) -> None:
        """Drop what was kept, and keep nothing until the next forward."""
        self._kept: list = []
        self._open = False

    def modules(self, model: nn.Module) -> tuple:
        """The head and, if any, the module whose output is read."""
        head = model.bbox_head
        if not self._reuse:
            return (head,)
        conv = getattr(head, TOWERS[self._branch])[self._reuse - 1]
        return head, conv.norm if conv.with_norm else conv.conv

    def hooks(self, model: nn.Module):
        """Register hooks, and yield their handles."""
        self._head, *layers = self.modules(model)
        # Plain functions: deepcopy would copy a bound method's object.
        yield self._head.register_forward_pre_hook(
            lambda *call: self._begin(*call)
        )
        for layer in layers:
            yield layer.register_forward_hook(self._hook(layer))

    def _hook(self, layer: nn.Module) -> Callable:
        # A copy of the model has copies of the hooks.
        return lambda module, args, output: (
            self._add(output) if module is layer else None
        )

    def _begin(self, module: nn.Module, args: tuple) -> None:
        if module is not self._head:
            return
        self.clear()
        self._open = module.training == self._training
        if not self._reuse:
            for level in args[0]:
                self._add(level)

    def _add(self, level: Tensor) -> None:
        # Activation checkpointing runs a tower again in the backward pass.
        if self._open:
            self._kept.append(self._keep(level))

    def take(self) -> list:
        """What was kept, by level, once."""
        kept = self._kept
        self.clear()
        return kept
