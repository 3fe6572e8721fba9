"""Cosine: its formula, pinned value, scale of vectors, vectors of zeros."""

import math

import pytest
import torch
from torch.nn import functional as F

from mmkd_plugin.losses import CosineLoss, cosine_loss
from mmkd_plugin.losses.common import by_channels
from tests.helpers.feature_cases import USUAL, waves
from tests.helpers.feature_loss_checks import (
    FeatureLoss,
    FeatureLossChecks,
    TrainedChecks,
)


def oracle(student, teacher, boxes, parameters):
    def dot(a, b):
        return math.fsum(x * y for x, y in zip(a, b, strict=True))

    total = 0
    for own, target in zip(student, teacher, strict=True):
        vectors = [
            maps.permute(0, 2, 3, 1).flatten(0, 2).tolist()
            for maps in (own, target)
        ]
        losses = [
            1 - dot(s, t) / math.sqrt(dot(s, s) * dot(t, t))
            for s, t in zip(*vectors, strict=True)
        ]
        total += math.fsum(losses) / len(losses)
    return torch.tensor(total, dtype=torch.float64)


class TestCosine(TrainedChecks, FeatureLossChecks):
    loss = FeatureLoss(CosineLoss, oracle, {})


def value_and_gradient(student, teacher, loss=cosine_loss):
    student = student.clone().requires_grad_()
    value = loss(student, teacher)
    return value.detach(), torch.autograd.grad(value, student)[0]


def test_pinned():
    value = cosine_loss(*waves(2, 3, 8, 6))
    assert value.item() == pytest.approx(0.755277681, abs=1e-10)


def test_is_the_plain_form():
    """With the gradient that autograd finds for it."""

    def plain(student, teacher):
        return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()

    for pair in zip(USUAL.student, USUAL.teacher, strict=True):
        pair = [maps.double() for maps in pair]
        torch.testing.assert_close(
            value_and_gradient(*pair), value_and_gradient(*pair, plain)
        )


def test_scale_of_a_vector_changes_nothing():
    student, teacher = USUAL.student[0], USUAL.teacher[0]
    value = cosine_loss(student, teacher)
    scale = torch.linspace(0.01, 100, student[:, :1].numel())
    scale = scale.view_as(student[:, :1])
    for changed in ((scale * student, teacher), (student, scale * teacher)):
        torch.testing.assert_close(cosine_loss(*changed), value)
    # An offset does, unlike in PKD.
    assert abs(cosine_loss(student + 3, teacher) - value) > 0.01


def test_ends_of_its_range():
    maps = USUAL.student[0]
    value, gradient = value_and_gradient(maps, maps)
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert gradient.abs().max() < 1e-6
    value, _ = value_and_gradient(-maps, maps)
    assert value.item() == pytest.approx(2)


@pytest.mark.parametrize('size', [0.0, 1e-30])
@pytest.mark.parametrize('role', ['student', 'teacher', 'both'])
def test_vector_without_direction(role, size):
    """Its cosine is 0, and it gets no gradient."""
    maps = [USUAL.student[0].clone(), USUAL.teacher[0].clone()]
    whole, gradient = value_and_gradient(*maps)
    one = 1 - F.cosine_similarity(
        maps[0][1, :, 2, 3], maps[1][1, :, 2, 3], dim=0
    )
    for each, name in zip(maps, ('student', 'teacher'), strict=True):
        if role in (name, 'both'):
            each[1, :, 2, 3] = size
    value, found = value_and_gradient(*maps)
    places = maps[0][:, 0].numel()
    torch.testing.assert_close(value, whole + (1 - one) / places)
    assert found[1, :, 2, 3].eq(0).all()
    gradient[1, :, 2, 3] = 0
    torch.testing.assert_close(found, gradient)


def test_some_images_at_a_time(monkeypatch):
    student, teacher = USUAL.student[0], USUAL.teacher[0]
    expected = value_and_gradient(student, teacher)
    monkeypatch.setattr(by_channels, 'SIZE', student[0].numel())
    torch.testing.assert_close(value_and_gradient(student, teacher), expected)
