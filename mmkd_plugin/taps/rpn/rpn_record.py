"""What a student's RPN did in its last forward.

B images, L levels, M anchors over the batch and the levels, N of them sampled.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn as nn
from torch import Tensor

from ...exceptions import MMKDRuntimeError
from ..head_record import HeadRecord
from .rpn_heads import Maps


class Anchors(NamedTuple):
    """The sampled anchors, on which the student's RPN was trained.

    Attributes:
        maps: What the RPN said of all anchors.
        rows: Which of the M anchors were sampled, (N,), in the order of
            :func:`~mmkd_plugin.taps.anchors.as_rows`.
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
            :func:`~mmkd_plugin.taps.rpn.rpn_heads.refuse_rpn` accepts.
        refuse: Called with a student whose modules were replaced.
    """

    def __init__(
        self, student: nn.Module, refuse: Callable[[nn.Module], None]
    ) -> None:
        self._record = HeadRecord(student, _modules, refuse)

    def close(self) -> None:
        """Remove the hooks, and free the last forward."""
        self._record.close()

    def take(self, tap: str) -> Anchors | None:
        """What the last forward did, once; then it is cleared.

        Args:
            tap: Name of the tap, for messages.

        Returns:
            None if the RPN did not run.

        Raises:
            RuntimeError: If its losses did not get each anchor once.
        """
        found = self._record.take()
        if found is None:
            return None
        maps = Maps(*found[0])
        expected = [x.numel() for x in maps.objectness]
        for place, name in enumerate(('loss_cls', 'loss_bbox')):
            counts = [call.rows for call in found[1].get(place, [])]
            if counts != expected:
                raise MMKDRuntimeError(
                    f'The RPN has {expected} anchors on its levels, but its '
                    f'`{name}` got {counts or "none"}: use an RPNHead that '
                    f'calls `self.{name}` once per level with all anchors, '
                    f'which {tap} needs.'
                )
        sampled, boxes = found[1][0], found[1][1]
        weights = torch.cat([call.weights for call in sampled])
        rows = (weights > 0).nonzero()[:, 0]
        return Anchors(
            maps,
            rows,
            torch.cat([call.targets for call in sampled])[rows],
            weights[rows],
            torch.cat([call.targets for call in boxes])[rows],
            # The four numbers of a delta have one weight.
            torch.cat([call.weights[:, 0] for call in boxes])[rows],
        )


def _modules(model: nn.Module) -> tuple:
    """The modules that anchors pass through."""
    head = model.rpn_head
    return head, head.loss_cls, head.loss_bbox
