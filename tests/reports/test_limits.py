"""Limits of axes."""

import pytest

from mmkd_plugin.reports.limits import choose_limits, choose_share_limits


def test_a_steep_beginning_does_not_flatten_the_rest():
    curve = [50, 20, 5, *(1 + 0.1 / (i + 1) for i in range(47))]
    low, high, is_log = choose_limits([curve])
    assert not is_log and low < 1.01 and 1.02 < high < 1.2


def test_a_curve_that_falls_all_the_time_is_shown_whole():
    curve = [10 - i / 10 for i in range(80)]
    low, high, is_log = choose_limits([curve])
    assert not is_log and low < 2.1 and high > 10


def test_a_peak_is_left_out():
    curve = [1 + i % 5 / 10 for i in range(50)]
    curve[30] = 1000
    low, high, _ = choose_limits([curve])
    assert low < 1 and 1.4 < high < 1.5


def test_a_run_with_few_points_is_inside():
    low, high, _ = choose_limits([[1.0] * 50 + [1.1] * 50, [9.0, 8.0]])
    assert low < 1 and high > 9


def test_runs_far_apart():
    low, high, is_log = choose_limits([[60, 59, 58] * 9, [1.2, 1.1, 1] * 9])
    assert is_log and 0.5 < low < 1 and 60 < high < 90
    # A logarithmic axis has no zero.
    low, high, is_log = choose_limits([[60, 59, 58] * 9, [0, 0, 0] * 9])
    assert not is_log and low < 0 and high > 60


@pytest.mark.parametrize('curve', [[3.0], [3.0] * 9, [0.0] * 9, [-2.0]])
def test_no_range(curve):
    low, high, is_log = choose_limits([curve])
    assert low < curve[0] < high and not is_log


def test_no_values():
    assert choose_limits([]) is None
    assert choose_limits([[], []]) is None
    assert choose_share_limits([[]], 100) is None


@pytest.mark.parametrize('whole', [1, 100])
@pytest.mark.parametrize(
    'values, expected',
    [
        # Over more than half: everything.
        ([0.2, 0.9], (0, 1)),
        ([0.6, 0.9], (0.6, 0.9)),
        # Noise is not blown up.
        ([0.99, 0.995], (0.9, 1)),
        ([0.5], (0.45, 0.55)),
        ([0.0], (0, 0.1)),
        ([1.0], (0.9, 1)),
    ],
)
def test_shares(values, expected, whole):
    curves = [[whole * value] for value in values]
    low, high = choose_share_limits(curves, whole)
    edge = 0.03 * whole
    assert low == pytest.approx(whole * expected[0] - edge)
    assert high == pytest.approx(whole * expected[1] + edge)
