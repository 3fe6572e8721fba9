"""Means, preparation of logits, standardisation."""

import pytest
import torch

from mmkd_plugin.losses.common import reduction
from tests.helpers import reduced_checks


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


LOSSES = torch.tensor([1.0, 3.0, 8.0])


@pytest.mark.parametrize(
    'weights, expected',
    [
        (None, 12.0),
        ([1.0, 0.5, 0.0], 2.5),
        ([0.0, 0.0, 0.0], 0.0),
    ],
)
def test_counted_sum(weights, expected):
    if weights is not None:
        weights = torch.tensor(weights)
    assert reduction.counted_sum(LOSSES, weights).item() == expected


@pytest.mark.parametrize(
    'positives, expected',
    [
        ([True, True, True], 4.0),
        ([True, False, True], 6.0),
        ([False, True, False], 12.0),
        ([False, False, False], 12.0),  # at least 1
    ],
)
def test_per_positive(positives, expected):
    positives = torch.tensor(positives)
    assert reduction.per_positive(LOSSES, None, positives) == expected
    # A positive of weight 0 counts in the divisor, but has no loss.
    weights = torch.tensor([0.0, 0.5, 1.0])
    found = reduction.per_positive(LOSSES, weights, positives)
    torch.testing.assert_close(found, torch.tensor(expected * 9.5 / 12))


@pytest.mark.parametrize(
    'weights, expected',
    [
        ([1.0, 1.0, 1.0], 4.0),
        ([0.5, 0.5, 0.0], 2.0),
        ([0.0, 0.0, 1e-3], 8.0),
        ([0.0, 0.0, 0.0], 0.0),
    ],
)
def test_per_weight(weights, expected):
    found = reduction.per_weight(LOSSES, torch.tensor(weights))
    torch.testing.assert_close(found, torch.tensor(expected))


def reductions(weights, positives):
    """The sums that a weight of 0 leaves rows out of."""
    yield lambda losses: reduction.counted_sum(losses, weights)
    yield lambda losses: reduction.per_positive(losses, weights, positives)
    yield lambda losses: reduction.per_weight(losses, weights)


def test_a_row_of_weight_0_may_be_anything():
    weights = torch.tensor([1.0, 0.0, 1.0])
    for reduce in reductions(weights, torch.tensor([True, True, False])):
        losses = torch.tensor([1.0, torch.nan, 2.0], requires_grad=True)
        (grad,) = torch.autograd.grad(reduce(losses), losses)
        assert reduce(losses).isfinite()
        assert grad[1] == 0 and grad[0] == grad[2] > 0


@pytest.mark.parametrize('rows', [0, 2])
def test_nothing_counts(rows):
    none = torch.zeros(rows)
    for reduce in reductions(none, none.bool()):
        losses = torch.ones(rows, requires_grad=True)
        value = reduce(losses)
        value.backward()
        assert value == 0
        assert losses.grad.tolist() == [0.0] * rows


def test_weights_of_a_wrong_shape():
    for reduce in reductions(torch.ones(2), torch.ones(3, dtype=torch.bool)):
        with pytest.raises(ValueError, match='`weights` to be of shape'):
            reduce(LOSSES)


@pytest.mark.slow
def test_two_processes(group):
    group(2).run(reduced_checks.check_two_processes)
