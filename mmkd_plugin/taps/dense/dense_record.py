"""What a student's dense head did in its last forward.

L levels, M rows (anchors or points) over the batch and the levels, C classes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn as nn
from torch import Tensor

from ...exceptions import MMKDRuntimeError
from ..head_record import HeadRecord
from .dense_heads import Maps


class Rows(NamedTuple):
    """The rows on which the student's dense head was trained.

    Attributes:
        maps: What the head said of them.
        labels: Class ids, C for none, (M,), in the order of
            :func:`~mmkd_plugin.taps.anchors.as_rows`.
        weights: Of the classes, >= 0, (M,); 0 where the row is ignored or
            lies outside of the image.
    """

    maps: Maps
    labels: Tensor
    weights: Tensor


class DenseRecord:
    """Hooks on a student's dense head, and what they saw last.

    Args:
        student: A detector that
            :func:`~mmkd_plugin.taps.dense.dense_heads.refuse_dense` accepts.
        refuse: Called with a student whose modules were replaced.
    """

    def __init__(
        self, student: nn.Module, refuse: Callable[[nn.Module], None]
    ) -> None:
        self._head = student.bbox_head
        self._record = HeadRecord(student, _modules, refuse)

    def close(self) -> None:
        """Remove the hooks, and free the last forward."""
        self._record.close()

    def take(self, tap: str) -> Rows | None:
        """What the last forward did, once; then it is cleared.

        Args:
            tap: Name of the tap, for messages.

        Returns:
            None if the head did not run.

        Raises:
            RuntimeError: If its ``loss_cls`` did not get each row once, with
                its class id.
        """
        found = self._record.take()
        if found is None:
            return None
        maps, calls = Maps(*found[0][:2]), found[1].get(0, [])
        classes = self._head.num_classes
        expected = [level.numel() // classes for level in maps.scores]
        counts = [call.rows for call in calls]
        if counts not in (expected, [sum(expected)]):
            raise MMKDRuntimeError(
                f'The {type(self._head).__name__} has {expected} rows on its '
                f'levels, but its `loss_cls` got {counts or "none"}: use a '
                'head that calls `self.loss_cls` once per level, or once in '
                f'all, with all rows, which {tap} needs.'
            )
        for call in calls:
            if (
                call.targets.shape != (call.rows,)
                or call.targets.dtype != torch.int64
            ):
                raise MMKDRuntimeError(
                    f'The `loss_cls` of the {type(self._head).__name__} got '
                    f'targets of shape {tuple(call.targets.shape)} and type '
                    f'{call.targets.dtype} for {call.rows} rows, but {tap} '
                    'needs a class id per row: use a head that is trained on '
                    'labels.'
                )
        return Rows(
            maps,
            torch.cat([call.targets for call in calls]),
            torch.cat([call.weights for call in calls]),
        )


def _modules(model: nn.Module) -> tuple:
    """The modules that the rows pass through."""
    return model.bbox_head, model.bbox_head.loss_cls
