"""AT: its formula, pinned values, what does not matter to attention."""

import math

import pytest
import torch

from mmkd_plugin.losses import ATLoss, at_loss
from tests.helpers.feature_cases import USUAL, waves
from tests.helpers.feature_loss_checks import FeatureLoss, FeatureLossChecks


def oracle(student, teacher, boxes, parameters):
    def attention(image):
        rows = image.flatten(1).tolist()
        squares = [math.fsum(x * x for x in place) for place in zip(*rows)]
        length = math.sqrt(math.fsum(x * x for x in squares))
        return [x / length for x in squares]

    total = 0
    for own, target in zip(student, teacher, strict=True):
        for image, other in zip(own, target, strict=True):
            a, b = attention(image), attention(other)
            gaps = [(x - y) ** 2 for x, y in zip(a, b, strict=True)]
            total += math.fsum(gaps) / len(gaps) / len(own)
    return torch.tensor(total, dtype=torch.float64)


class TestAT(FeatureLossChecks):
    loss = FeatureLoss(ATLoss, oracle, {}, may_differ=('channels',))


def test_pinned():
    value = at_loss(*waves(2, 3, 8, 6))
    assert value.shape == (2,)
    assert value.mean().item() == pytest.approx(0.006348724874, abs=1e-12)


def test_of_four_places():
    """Attention 3 : 4 of two of them, and of one alone."""
    student = torch.tensor([3.0, 4.0, 0.0, 0.0]).sqrt().view(1, 1, 2, 2)
    teacher = torch.tensor([0.0, 7.0, 0.0, 0.0]).view(1, 1, 2, 2)
    expected = (0.6**2 + (1 - 0.8) ** 2) / 4
    assert at_loss(student, teacher).item() == pytest.approx(expected)


def test_factor_of_an_image_and_number_of_channels_do_not_matter():
    student, teacher = USUAL.student[0], USUAL.teacher[0]
    value = at_loss(student, teacher)
    factors = torch.tensor([1e-6, -1e6])[:, None, None, None]
    twice = torch.cat([teacher, -teacher], dim=1)
    torch.testing.assert_close(at_loss(factors * student, twice), value)


@pytest.mark.parametrize('role', [0, 1])
def test_image_of_zeros(role):
    """No attention: only that of the other counts."""
    batch = [USUAL.student[0].clone(), USUAL.teacher[0].clone()]
    batch[role][0] = 0
    own = batch[0].requires_grad_()
    values = at_loss(own, batch[1])
    assert values[0].item() == pytest.approx(1 / 48)
    values.sum().backward()
    assert own.grad.isfinite().all()
    assert own.grad[0].eq(0).all() == (role == 0)


def test_empty_batch():
    maps = torch.zeros(0, 2, 4, 4, requires_grad=True)
    value = ATLoss(loss_weight=1000.0)((maps,), (maps,), None)
    assert value == 0
    assert torch.autograd.grad(value, maps)[0].shape == (0, 2, 4, 4)
