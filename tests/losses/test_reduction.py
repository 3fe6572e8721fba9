"""The helpers where the losses' own tests do not look."""

import pytest
import torch

from mmkd_plugin.losses import reduction


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


def test_log_odds_keep_what_one_minus_p_loses():
    logits = torch.tensor([[40.0, 0.0, 0.0]])
    assert 1 - logits.softmax(1)[0, 0] == 0
    value = reduction.log_odds(logits, torch.tensor([0]))
    torch.testing.assert_close(value, 40 - torch.tensor([2.0]).log())


def test_softmax_kl_leaves_masked_classes_out():
    student, teacher = torch.randn(2, 4, 6, dtype=torch.float64)
    masked = torch.zeros(4, 6, dtype=torch.bool)
    masked[:, [1, 4]] = True
    kept = [0, 2, 3, 5]
    torch.testing.assert_close(
        reduction.softmax_kl(student, teacher, masked),
        reduction.softmax_kl(student[:, kept], teacher[:, kept]),
    )


def test_prepared_logits():
    student = torch.randn(2, 3, requires_grad=True)
    teacher = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    student_out, teacher_out = reduction.prepare_logits(student, teacher)
    assert student_out.dtype == teacher_out.dtype == torch.float64
    assert student_out.requires_grad and not teacher_out.requires_grad


def test_checks_take_every_real_number():
    numpy = pytest.importorskip('numpy')
    reduction.check_positive(a=1, b=numpy.float32(0.5))
    reduction.check_non_negative(a=0, b=numpy.int64(3))
    with pytest.raises(ValueError, match='`b` to be a positive number .* 0'):
        reduction.check_positive(a=1, b=0)
