"""What a student's RPN did in its last forward.

B images, L levels, M anchors over the batch and the levels, N of them sampled.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn as nn
from torch import Tensor

from ..exceptions import MMKDRuntimeError
from .listener import Listener
from .rpn_heads import Maps


class Anchors(NamedTuple):
    """The sampled anchors, on which the student's RPN was trained.

    Attributes:
        maps: What the RPN said of all anchors.
        rows: Which of the M anchors were sampled, (N,), in the order of
            :func:`~mmkd_plugin.taps.rpn_heads.as_rows`.
        labels: 0 for an object, 1 for background, (N,).
        weights: Of the objectness, > 0, (N,).
        targets: Ground-truth deltas, (N, 4); 0 where there are none.
        box_weights: Of the deltas, >= 0, (N,); 0 for background.
    """

    maps: Maps
    rows: Tensor
    labels: Tensor
    weights: Tensor
    targets: Tensor
    box_weights: Tensor


class RPNRecord:
    """Hooks on a student's RPN, and what they saw in its last forward.

    Args:
        student: A detector that
            :func:`~mmkd_plugin.taps.rpn_heads.refuse_rpn` accepts.
        refuse: Called with a student whose modules were replaced.
    """

    def __init__(
        self, student: nn.Module, refuse: Callable[[nn.Module], None]
    ) -> None:
        self.clear()
        self._listener = Listener(student, _modules, self._hooks, refuse)

    def _hooks(self, student: nn.Module):
        """Register hooks on the RPN and its losses."""
        head, loss_cls, loss_bbox = _modules(student)
        yield head.register_forward_hook(lambda *call: self._on_head(*call))
        yield loss_cls.register_forward_pre_hook(
            lambda *call: self._on_loss(self._sampled, *call),
            with_kwargs=True,
        )
        yield loss_bbox.register_forward_pre_hook(
            lambda *call: self._on_loss(self._boxes, *call),
            with_kwargs=True,
        )

    def close(self) -> None:
        """Remove the hooks, and free the last forward."""
        self._listener.close()
        self.clear()

    def clear(self) -> None:
        """Drop the references to the last forward, to free its graph."""
        self._maps: Maps | None = None
        # Targets and weights of each level.
        self._sampled: list[tuple[Tensor, Tensor]] = []
        self._boxes: list[tuple[Tensor, Tensor]] = []

    def _on_head(self, module: nn.Module, args: tuple, output: tuple) -> None:
        if module.training:
            self.clear()
            self._maps = Maps(*output)

    def _on_loss(
        self, levels: list, module: nn.Module, args: tuple, kwargs: dict
    ) -> None:
        """Keep the targets and weights of a level."""
        if module.training and self._maps is not None:
            _, targets, weights = (*args, *kwargs.values())[:3]
            levels.append((targets.detach(), weights.detach()))

    def take(self, tap: str) -> Anchors | None:
        """What the last forward did, once; then it is cleared.

        Args:
            tap: Name of the tap, for messages.

        Returns:
            None if the RPN did not run.

        Raises:
            RuntimeError: If its losses did not get each anchor once.
        """
        maps, sampled, boxes = self._maps, self._sampled, self._boxes
        self.clear()
        if maps is None:
            return None
        expected = [x.numel() for x in maps.objectness]
        for name, levels in dict(loss_cls=sampled, loss_bbox=boxes).items():
            found = [len(weights) for _, weights in levels]
            if found != expected:
                raise MMKDRuntimeError(
                    f'The RPN has {expected} anchors on its levels, but its '
                    f'`{name}` got {found or "none"}: use an RPNHead that '
                    f'calls `self.{name}` once per level with all anchors, '
                    f'which {tap} needs.'
                )
        weights = torch.cat([weights for _, weights in sampled])
        rows = (weights > 0).nonzero()[:, 0]
        return Anchors(
            maps,
            rows,
            torch.cat([labels for labels, _ in sampled])[rows],
            weights[rows],
            torch.cat([targets for targets, _ in boxes])[rows],
            # The four numbers of a delta have one weight.
            torch.cat([weights[:, 0] for _, weights in boxes])[rows],
        )


def _modules(model: nn.Module) -> tuple:
    """The modules that anchors pass through."""
    head = model.rpn_head
    return head, head.loss_cls, head.loss_bbox
