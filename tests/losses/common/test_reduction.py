"""Means, preparation of logits, standardisation."""

import pytest
import torch

from mmkd_plugin.losses.common import reduction


@pytest.mark.parametrize(
    'weights, expected',
    [
        (None, 4.0),
        ([1.0, 1.0, 1.0], 4.0),
        ([2.0, 0.0, 1.0], 5.0),  # (2 * 1 + 8) / 2
        ([0.5, 0.5, 0.5], 2.0),  # the divisor counts rows, not weights
        ([0.0, 0.0, 0.0], 0.0),
    ],
)
def test_weighted_mean(weights, expected):
    losses = torch.tensor([1.0, 3.0, 8.0])
    if weights is not None:
        weights = torch.tensor(weights)
    assert reduction.weighted_mean(losses, weights).item() == expected


def test_prepared_logits():
    student = torch.randn(2, 3, requires_grad=True)
    teacher = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    student_out, teacher_out = reduction.prepare_logits(student, teacher)
    assert student_out.dtype == teacher_out.dtype == torch.float64
    assert student_out.requires_grad and not teacher_out.requires_grad


def test_standardized_rows_have_mean_0_and_std_1():
    logits = torch.randn(4, 6, dtype=torch.float64) * 5 + 1e3
    rows = reduction.standardize_logits(logits)
    torch.testing.assert_close(rows.mean(1), 0 * rows[:, 0])
    torch.testing.assert_close(rows.std(1), rows.new_ones(4))
