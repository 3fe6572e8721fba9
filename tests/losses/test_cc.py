"""CC: its formula, a pinned value, what does not change it."""

import math

import pytest
import torch

from mmkd_plugin.losses import CCLoss, cc_loss
from tests.helpers.reading_loss_checks import (
    ReadingLoss,
    ReadingLossChecks,
    value_and_gradient,
)


def oracle(student, teacher, gamma):
    """Numbers of lists, pair by pair."""

    def kernel(one, other):
        product = math.fsum(a * b for a, b in zip(one, other, strict=True))
        cosine = product / math.hypot(*one) / math.hypot(*other)
        return sum(
            math.exp(-2 * gamma)
            * (2 * gamma) ** p
            / math.factorial(p)
            * cosine**p
            for p in range(3)
        )

    student, teacher = student.tolist(), teacher.tolist()
    count = len(student)
    gaps = [
        kernel(student[i], student[j]) - kernel(teacher[i], teacher[j])
        for i in range(count)
        for j in range(count)
    ]
    return torch.tensor(
        math.fsum(gap * gap for gap in gaps) / count**2, dtype=torch.float64
    )


def draw(count, own, other, seed):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, own, generator=generator),
        3 * torch.randn(count, other, generator=generator).abs(),
    )


CASES = {
    'usual': draw(6, 4, 7, seed=0),
    'narrow': draw(8, 2, 3, seed=1),
    'two': draw(2, 5, 5, seed=2),
}


class TestCC(ReadingLossChecks):
    loss = ReadingLoss(CCLoss, oracle, {}, CASES, dict(gamma=0.4))


def test_by_hand():
    """Of two images, at right angles for the student alone."""
    student = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    teacher = torch.tensor([[1.0], [3.0]])
    # The two pairs of different images; 0.8 and 0.32 are left out of each.
    expected = 2 * (math.exp(-0.8) * (0.8 + 0.32)) ** 2 / 4
    found = cc_loss(student, teacher, gamma=0.4)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_scale_of_a_vector_and_rotation_change_nothing():
    student, teacher = (x.double() for x in CASES['usual'])
    turn = torch.linalg.qr(torch.randn(4, 4).double())[0]
    scale = torch.arange(1, 7).double()[:, None]
    value = cc_loss(student, teacher, gamma=0.4)
    found = cc_loss(scale * student @ turn, teacher / scale, gamma=0.4)
    torch.testing.assert_close(found, value)
    assert cc_loss(student, 3 * student @ turn, gamma=0.4).item() < 1e-20


def test_image_of_weight_zero_may_be_anything():
    student, teacher = (x.clone() for x in CASES['usual'])
    weights = torch.tensor([1.0, 1, 0, 1, 1, 1])
    module = TestCC.loss.build()
    expected = value_and_gradient(module, student, teacher, weights)
    student[2], teacher[2] = torch.nan, torch.inf
    found = value_and_gradient(module, student, teacher, weights)
    torch.testing.assert_close(found, expected)


def test_one_image_is_not_counted():
    batch = [x[:1] for x in CASES['usual']]
    module = TestCC.loss.build()
    value, grad = value_and_gradient(module, *batch)
    assert value < 1e-9 and grad.abs().max() < 1e-6
    assert not module.counted(*batch, None).any()
    batch = CASES['usual']
    weights = torch.tensor([1.0, 0, 0, 2, 0, 0])
    assert module.counted(*batch, None, weights).equal(weights > 0)
    assert not module.counted(*batch, None, weights * (weights > 1)).any()


@pytest.mark.parametrize('gamma', [0, -1, float('nan'), 11, '1'])
def test_gamma_out_of_range(gamma):
    message = '`gamma` to be a number from 0.0001 to 10 but got'
    with pytest.raises(ValueError, match=message):
        TestCC.loss.build(gamma=gamma)
