"""RKD: its formula, pinned values, equal rows, chunks."""

import itertools
import math

import pytest
import torch

from mmkd_plugin.losses import (
    RKDLoss,
    rkd,
    rkd_angle_loss,
    rkd_distance_loss,
)
from tests.helpers.reading_loss_checks import (
    ReadingLoss,
    ReadingLossChecks,
    value_and_gradient,
)


def smooth(gap):
    return gap * gap / 2 if abs(gap) < 1 else abs(gap) - 0.5


def oracle(student, teacher, distance_weight, angle_weight):
    """Numbers of lists, image by image."""

    def relations(rows):
        rows = rows.tolist()
        far = {(i, j): math.dist(rows[i], rows[j]) for i, j in pairs}
        positive = [d for d in far.values() if d > 0]
        mean = math.fsum(positive) / max(1, len(positive))
        unit = {
            (i, j): [
                (b - a) / far[i, j] if far[i, j] else 0
                for a, b in zip(rows[i], rows[j], strict=True)
            ]
            for i, j in pairs
        }
        angles = [
            math.fsum(a * b for a, b in zip(unit[i, j], unit[i, k]))
            for i, j, k in itertools.product(range(count), repeat=3)
        ]
        return [d / mean if mean else 0 for d in far.values()], angles

    count = len(student)
    pairs = list(itertools.product(range(count), repeat=2))
    means = [
        math.fsum(smooth(a - b) for a, b in zip(own, other)) / len(own)
        for own, other in zip(relations(student), relations(teacher))
    ]
    value = distance_weight * means[0] + angle_weight * means[1]
    return torch.tensor(value, dtype=torch.float64)


def draw(count, own, other, seed):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, own, generator=generator),
        3 * torch.randn(count, other, generator=generator).abs(),
    )


CASES = {
    'usual': draw(6, 4, 7, seed=0),
    'narrow': draw(8, 2, 3, seed=1),
    'three': draw(3, 5, 5, seed=2),
}


class TestRKD(ReadingLossChecks):
    loss = ReadingLoss(
        RKDLoss, oracle, dict(distance_weight=25.0, angle_weight=50.0), CASES
    )


def waves(count, numbers, step):
    places = torch.arange(1, count * numbers + 1, dtype=torch.float64)
    return (step * places).sin().view(count, numbers)


def test_pinned():
    batch = waves(5, 4, 0.7), waves(5, 3, 0.4)
    assert rkd_distance_loss(*batch).item() == pytest.approx(
        0.175240919256, abs=1e-12
    )
    assert rkd_angle_loss(*batch).item() == pytest.approx(
        0.161005044251, abs=1e-12
    )


@pytest.mark.parametrize('weights', [(25.0, 0.0), (0.0, 50.0), (0.0, 0.0)])
def test_either_part_alone(weights):
    numbers = dict(zip(('distance_weight', 'angle_weight'), weights))
    batch = CASES['usual']
    module = RKDLoss(loss_weight=2.0, **numbers)
    expected = 2 * oracle(*(x.double() for x in batch), **numbers)
    value, grad = value_and_gradient(module, *batch)
    torch.testing.assert_close(value.double(), expected, rtol=2e-5, atol=1e-6)
    assert grad.ne(0).any() == (sum(weights) > 0)


def test_no_angles_without_their_weight(monkeypatch):
    """Of which there are too many in a large batch."""
    monkeypatch.delattr(rkd, '_angle_gaps')
    module = RKDLoss(distance_weight=1.0, angle_weight=0.0)
    assert module(*CASES['usual'], None) > 0


@pytest.mark.parametrize('size', [1, 100])
def test_some_images_at_a_time(monkeypatch, size):
    module = RKDLoss(distance_weight=25.0, angle_weight=50.0)
    weights = torch.tensor([1.0, 1, 0, 1, 1, 1])
    for given in (None, weights):
        expected = value_and_gradient(module, *CASES['usual'], given)
        with monkeypatch.context() as patch:
            patch.setattr(rkd, 'SIZE', size)
            found = value_and_gradient(module, *CASES['usual'], given)
        torch.testing.assert_close(found, expected)


def test_shift_scale_and_rotation_change_nothing():
    student, teacher = (x.double() for x in CASES['usual'])
    generator = torch.Generator().manual_seed(3)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator).double())[0]
    for function in (rkd_distance_loss, rkd_angle_loss):
        value = function(student, teacher)
        found = function(100 * student @ turn - 3, 0.01 * teacher + 5)
        torch.testing.assert_close(found, value)
        assert function(student, student @ turn).item() < 1e-20


@pytest.mark.parametrize('gap', [0.0, 1e-9])
def test_rows_that_are_equal_or_almost(gap):
    """They have no direction, not one of any size of gradient."""
    student, teacher = (x.clone() for x in CASES['usual'])
    student[1] = student[0] + gap
    module = RKDLoss(distance_weight=25.0, angle_weight=50.0)
    value, grad = value_and_gradient(module, student, teacher)
    student[1] = student[0]
    expected = oracle(student.double(), teacher.double(), 25.0, 50.0)
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-6)
    assert grad.abs().max() < 100


@pytest.mark.parametrize('count', [1, 2])
def test_too_few_images(count):
    """Nothing to compare; they are not counted, so that the run goes on."""
    batch = [x[:count] for x in CASES['usual']]
    module = RKDLoss(distance_weight=25.0, angle_weight=50.0)
    value, grad = value_and_gradient(module, *batch)
    assert value < 1e-9 and grad.abs().max() < 1e-4
    assert not module.counted(*batch, None, torch.ones(count)).any()


def test_counted():
    batch = CASES['usual']
    module = RKDLoss(distance_weight=25.0, angle_weight=50.0)
    assert module.counted(*batch, None).all()
    weights = torch.tensor([1.0, 0, 0, 2, 1, 0])
    assert torch.equal(module.counted(*batch, None, weights), weights > 0)
    weights[0] = 0
    assert not module.counted(*batch, None, weights).any()


def test_image_of_weight_zero_may_be_anything():
    student, teacher = (x.clone() for x in CASES['usual'])
    weights = torch.tensor([1.0, 1, 0, 1, 1, 1])
    module = RKDLoss(distance_weight=25.0, angle_weight=50.0)
    expected = value_and_gradient(module, student, teacher, weights)
    student[2], teacher[2] = torch.nan, torch.inf
    found = value_and_gradient(module, student, teacher, weights)
    torch.testing.assert_close(found, expected)


def test_weights_of_a_wrong_shape():
    module = RKDLoss(distance_weight=25.0, angle_weight=50.0)
    with pytest.raises(ValueError, match=r'`weights` .* \(6,\) but got \(5,'):
        module(*CASES['usual'], None, torch.ones(5))
