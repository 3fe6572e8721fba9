"""Which losses train each class by a sigmoid of its own."""

import torch.nn as nn

# Those that do not say so by an attribute `use_sigmoid`.
SIGMOID_LOSSES = {
    'FocalLoss',  # MMPretrain's
    'BCELoss',
    'BCEWithLogitsLoss',
    'MultiLabelMarginLoss',
    'MultiLabelSoftMarginLoss',
}


def uses_sigmoid(loss: nn.Module) -> bool:
    """Whether a loss, or one that it consists of, is no softmax's.

    MMPretrain's ``LabelSmoothLoss``, for one, has another loss in it.
    """
    return any(
        getattr(part, 'use_sigmoid', _is_known(part))
        for part in loss.modules()
    )


def _is_known(part: nn.Module) -> bool:
    kinds = {kind.__name__ for kind in type(part).__mro__}
    return not kinds.isdisjoint(SIGMOID_LOSSES)
