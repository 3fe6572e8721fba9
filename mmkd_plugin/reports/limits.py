"""Limits of an axis with which curves can be read."""

import numpy as np

# What is before this part of a curve is its beginning, which may fall steeply.
BEGINNING = 0.1
# Percentiles of a curve outside of which values are rare.
RARE = (2, 98)
# Rare values are left out where they would take this many times the space.
MOST_SPACE = 2.5
# From this ratio of the largest to the smallest value the axis is logarithmic.
LOG = 20
MARGIN = 0.05


def choose_limits(curves):
    """Choose limits that show how the curves go on after the beginning.

    Args:
        curves (list[Sequence[float]]): Values of each, finite.

    Returns:
        tuple[float, float, bool] | None: Lower and upper limit and whether
        the axis is logarithmic; None without values. All values are inside,
        but for the beginning and rare ones where the rest would be flat.
    """
    curves = [np.asarray(values, float) for values in curves if len(values)]
    if not curves:
        return None
    every = np.concatenate(curves)
    low, high = every.min(), every.max()
    rest = [values[int(BEGINNING * len(values)) :] for values in curves]
    # By curve: one with few points is not rare.
    inner_low = min(
        np.percentile(values, RARE[0], method='higher') for values in rest
    )
    inner_high = max(
        np.percentile(values, RARE[1], method='lower') for values in rest
    )
    if high - low > MOST_SPACE * (inner_high - inner_low) > 0:
        low, high = inner_low, inner_high
    if low > 0 and high / low >= LOG:
        factor = (high / low) ** MARGIN
        return low / factor, high * factor, True
    margin = MARGIN * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin, False


def choose_share_limits(curves, whole):
    """Choose limits for values between 0 and a whole.

    Args:
        curves (list[Sequence[float]]): Values of each, finite.
        whole (float): The largest possible value, such as 100 for percent.

    Returns:
        tuple[float, float] | None: From 0 to the whole if the values vary over
        half of it, else what they vary over, at least a tenth of the whole, so
        that noise stays small; None without values.
    """
    every = [value for values in curves for value in values]
    if not every:
        return None
    edge = 0.03 * whole
    low, high = min(every), max(every)
    if high - low > whole / 2:
        low, high = 0.0, whole
    missing = max(whole / 10 - (high - low), 0) / 2
    low, high = low - missing, high + missing
    # A window that is partly outside is moved inside.
    shift = max(-low, 0) - max(high - whole, 0)
    return low + shift - edge, high + shift + edge
