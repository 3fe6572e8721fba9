"""Which losses apply a sigmoid per class instead of a softmax."""

import torch.nn as nn

# Those without an attribute `use_sigmoid`.
SIGMOID_LOSSES = {
    'FocalLoss',  # MMPretrain's
    'BCELoss',
    'BCEWithLogitsLoss',
    'MultiLabelMarginLoss',
    'MultiLabelSoftMarginLoss',
}


def uses_sigmoid(loss: nn.Module) -> bool:
    """Whether a loss, or a loss inside it, uses a sigmoid per class.

    MMPretrain's ``LabelSmoothLoss``, for example, has another loss in it.
    """
    return any(
        getattr(part, 'use_sigmoid', _is_known(part))
        for part in loss.modules()
    )


def _is_known(part: nn.Module) -> bool:
    kinds = {kind.__name__ for kind in type(part).__mro__}
    return not kinds.isdisjoint(SIGMOID_LOSSES)
