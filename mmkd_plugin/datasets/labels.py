"""The label of every image of a data set."""

from typing import Any

import torch
from torch import Tensor

from ..exceptions import MMKDTypeError


def labels_of(dataset: Any) -> Tensor:
    """Class of every sample, by its ``sample_idx``.

    A wrapper that repeats or chooses samples of one data set leaves their
    ``sample_idx`` as it is, so the labels are those of the data set within.

    Args:
        dataset (Dataset): Has ``labels``, as
            :class:`~mmkd_plugin.datasets.InMemoryCIFAR100`, or
            ``get_gt_labels()``, as those of MMPretrain, or wraps one.

    Returns:
        int64 of shape (M,).

    Raises:
        TypeError: If it does not know them, or images have several.
    """
    inner = dataset
    while hasattr(inner, 'dataset') and not hasattr(inner, 'get_gt_labels'):
        inner = inner.dataset
    found = getattr(inner, 'labels', None)
    if hasattr(inner, 'get_gt_labels'):
        found = inner.get_gt_labels()
    try:
        labels = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError):
        labels = torch.empty(0)
    if labels.ndim != 1 or labels.is_floating_point():
        raise MMKDTypeError(
            'Expected the train data to be one data set that knows a label '
            'of every image, such as InMemoryCIFAR100 or those of MMPretrain, '
            f'but got {type(inner).__name__}, which does not: a loss that '
            'draws samples of other classes needs them.'
        )
    return labels.long()
