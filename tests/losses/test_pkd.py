"""PKD: its formula, pinned value, correlation, channels without scale."""

import math

import numpy as np
import pytest
import torch

from mmkd_plugin.losses import PKDLoss, pkd_loss
from tests.helpers.feature_cases import CASES, USUAL, waves
from tests.helpers.feature_loss_checks import (
    FeatureLoss,
    FeatureLossChecks,
    TrainedChecks,
)


def oracle(student, teacher, boxes, parameters):
    def standardized(maps, channel):
        values = [
            x for image in maps for x in image[channel].flatten().tolist()
        ]
        mean = math.fsum(values) / len(values)
        squares = math.fsum((x - mean) ** 2 for x in values)
        std = math.sqrt(squares / (len(values) - 1))
        return [(x - mean) / (std + 1e-6) for x in values]

    total = 0
    for own, target in zip(student, teacher, strict=True):
        channels = own.shape[1]
        for channel in range(channels):
            u = standardized(own, channel)
            v = standardized(target, channel)
            gaps = [(a - b) ** 2 for a, b in zip(u, v, strict=True)]
            total += math.fsum(gaps) / len(gaps) / channels / 2
    return torch.tensor(total, dtype=torch.float64)


class TestPKD(TrainedChecks, FeatureLossChecks):
    loss = FeatureLoss(PKDLoss, oracle, {})


def value_and_gradient(student, teacher):
    student = student.clone().requires_grad_()
    value = pkd_loss(student, teacher)
    return value.item(), torch.autograd.grad(value, student)[0]


def test_pinned():
    value = pkd_loss(*waves(2, 3, 8, 6))
    assert value.item() == pytest.approx(0.7592960808, abs=1e-10)


@pytest.mark.parametrize('case', CASES.values(), ids=CASES.keys())
def test_is_one_minus_the_correlation_that_numpy_computes(case):
    for own, target in zip(case.student, case.teacher, strict=True):
        rows = [maps.transpose(0, 1).flatten(1) for maps in (own, target)]
        n = rows[0].shape[1]
        r = [np.corrcoef(a, b)[0, 1] for a, b in zip(*rows, strict=True)]
        expected = (n - 1) / n * (1 - np.mean(r))
        value = pkd_loss(own, target).item()
        assert value == pytest.approx(expected, abs=5e-6)


def test_is_the_plain_form():
    """With the gradient that autograd finds for it."""

    def standardized(maps):
        mean = maps.mean((0, 2, 3), keepdim=True)
        return (maps - mean) / (maps.std((0, 2, 3), keepdim=True) + 1e-6)

    for own, target in zip(USUAL.student, USUAL.teacher, strict=True):
        # Where the deviation is near the 1e-6, that has a gradient too.
        for scale in (1, 1e-6):
            wide = (scale * own.double()).requires_grad_()
            gap = standardized(wide) - standardized(target.double())
            plain = gap.square().mean() / 2
            value, gradient = value_and_gradient(wide, target.double())
            assert value == pytest.approx(plain.item(), rel=1e-12)
            expected = torch.autograd.grad(plain, wide)[0]
            torch.testing.assert_close(gradient, expected)


def test_offset_and_positive_scale_of_a_channel_change_nothing():
    student, teacher = USUAL.student[0], USUAL.teacher[0]
    value = pkd_loss(student, teacher)
    scale = torch.tensor([0.5, 3.0, 200.0])[:, None, None]
    shift = torch.tensor([7.0, -3.0, 40.0])[:, None, None]
    for changed in (
        (student * scale + shift, teacher),
        (student, teacher * scale + shift),
    ):
        found = pkd_loss(*changed)
        torch.testing.assert_close(found, value, rtol=0, atol=5e-6)
    # A negative one does: 1 - r and 1 + r sum to 2.
    n = student[:, 0].numel()
    found = (value + pkd_loss(-student, teacher)).item()
    assert found == pytest.approx(2 * (n - 1) / n, abs=5e-6)


def test_ends_of_its_range():
    maps = USUAL.student[0]
    n = maps[:, 0].numel()
    value, gradient = value_and_gradient(maps, maps)
    assert value == 0
    assert gradient.abs().max() < 1e-7
    value, gradient = value_and_gradient(-maps, maps)
    assert value == pytest.approx(2 * (n - 1) / n, abs=1e-5)
    assert gradient.abs().max() < 1e-7


@pytest.mark.parametrize('constant', [0.0, 0.1, -1e4 / 3])
@pytest.mark.parametrize('role', ['student', 'teacher', 'both'])
def test_constant_channel(role, constant):
    """It counts as zeros; the student's gets no gradient."""
    maps = [USUAL.student[0].clone(), USUAL.teacher[0].clone()]
    n = maps[0][:, 0].numel()
    rest, _ = value_and_gradient(*(each[:, [0, 2]] for each in maps))
    for i, each in enumerate(('student', 'teacher')):
        if role in (each, 'both'):
            maps[i][:, 1] = constant
    value, gradient = value_and_gradient(*maps)
    one = 0 if role == 'both' else (n - 1) / n / 2
    assert value == pytest.approx((2 * rest + one) / 3, abs=5e-6)
    silent = [i for i in range(3) if gradient[:, i].abs().max() < 1e-6]
    assert silent == [1]
    if role != 'teacher':
        assert gradient[:, 1].eq(0).all()


def test_one_value_per_channel():
    """Whose deviation the formula divides by 0."""
    value, gradient = value_and_gradient(
        torch.randn(1, 4, 1, 1), torch.randn(1, 4, 1, 1)
    )
    assert value == 0 and gradient.eq(0).all()


def test_mean_over_places_of_all_images():
    """Not of each image: the two of a batch may differ in their means."""
    student, teacher = USUAL.student[0].clone(), USUAL.teacher[0].clone()
    student[1] += 5
    teacher[1] += 3
    images = [pkd_loss(student[i : i + 1], teacher[i : i + 1]) for i in (0, 1)]
    apart = torch.stack(images).mean()
    assert pkd_loss(student, teacher) < 0.8 * apart
    twice = [torch.cat([maps, maps]) for maps in (student, teacher)]
    n = student[:, 0].numel()
    expected = pkd_loss(student, teacher) * n / (n - 1) * (2 * n - 1) / (2 * n)
    torch.testing.assert_close(pkd_loss(*twice), expected)
