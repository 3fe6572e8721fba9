"""CWD: its formula, pinned values, what it does not see."""

import math

import pytest
import torch
from torch.nn import functional as F

from mmkd_plugin.losses import CWDLoss, cwd_loss
from tests.helpers.feature_cases import USUAL, waves
from tests.helpers.feature_loss_checks import (
    FeatureLoss,
    FeatureLossChecks,
    TrainedChecks,
)


def oracle(student, teacher, boxes, parameters, tau):
    def softmax(channel):
        exps = [math.exp(x / tau) for x in channel.flatten().tolist()]
        return [e / math.fsum(exps) for e in exps]

    total = 0
    for own, target in zip(student, teacher, strict=True):
        images, channels = own.shape[:2]
        for b in range(images):
            for c in range(channels):
                p, q = softmax(target[b, c]), softmax(own[b, c])
                kl = math.fsum(x * math.log(x / y) for x, y in zip(p, q))
                total += tau**2 * kl / images / channels
    return torch.tensor(total, dtype=torch.float64)


class TestCWD(TrainedChecks, FeatureLossChecks):
    loss = FeatureLoss(CWDLoss, oracle, dict(tau=2.0))


@pytest.mark.parametrize(
    'tau, expected', [(1.0, 0.2906508133), (4.0, 0.3086434463)]
)
def test_pinned(tau, expected):
    value = cwd_loss(*waves(2, 3, 8, 6), tau=tau)
    assert value.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize('tau', [0.5, 1.0, 3.0])
def test_is_the_plain_form(tau):
    """With the gradient that autograd finds for it."""
    for own, target in zip(USUAL.student, USUAL.teacher, strict=True):
        own = own.double().requires_grad_()
        target = target.double()
        divergence = F.kl_div(
            (own.flatten(2) / tau).log_softmax(2),
            (target.flatten(2) / tau).softmax(2),
            reduction='sum',
        )
        plain = tau**2 * divergence / own.shape[0] / own.shape[1]
        value = cwd_loss(own, target, tau=tau)
        torch.testing.assert_close(value, plain)
        (expected,) = torch.autograd.grad(plain, own)
        (found,) = torch.autograd.grad(value, own)
        torch.testing.assert_close(found, expected)


def test_constant_of_a_channel_changes_nothing_but_its_scale_does():
    student, teacher = USUAL.student[0], USUAL.teacher[0]
    value = cwd_loss(student, teacher, tau=1.0)
    shift = torch.tensor([7.0, -3.0, 40.0])[:, None, None]
    for changed in (
        (student + shift, teacher),
        (student, teacher + shift),
    ):
        torch.testing.assert_close(cwd_loss(*changed, tau=1.0), value)
    found = cwd_loss(2 * student, teacher, tau=1.0)
    assert not torch.isclose(found, value, rtol=0.01)


def test_student_equal_to_teacher():
    maps = USUAL.student[0].clone().requires_grad_()
    value = cwd_loss(maps, maps.detach(), tau=1.0)
    assert value.item() == 0
    assert torch.autograd.grad(value, maps)[0].eq(0).all()


def test_one_place():
    """There is one distribution only."""
    student = torch.randn(2, 3, 1, 1, requires_grad=True)
    value = cwd_loss(student, torch.randn(2, 3, 1, 1), tau=1.0)
    assert value.item() == 0
    assert torch.autograd.grad(value, student)[0].eq(0).all()


def test_constant_channels_are_uniform():
    """ln(4) less the entropy of the teacher, which is sure of a place."""
    teacher = torch.zeros(1, 1, 2, 2)
    teacher[0, 0, 1, 0] = 100
    student = torch.full((1, 1, 2, 2), -1e4, requires_grad=True)
    value = cwd_loss(student, teacher, tau=1.0)
    assert value.item() == pytest.approx(math.log(4))
    (grad,) = torch.autograd.grad(value, student)
    assert grad.flatten().tolist() == [0.25, 0.25, -0.75, 0.25]


def test_images_are_apart():
    student, teacher = USUAL.student[0], USUAL.teacher[0]
    images = [
        cwd_loss(student[i : i + 1], teacher[i : i + 1], tau=1.0)
        for i in range(2)
    ]
    torch.testing.assert_close(
        cwd_loss(student, teacher, tau=1.0), torch.stack(images).mean()
    )


def test_standardized_is_batch_normalisation_before_it():
    settings = dict(tau=1.0, loss_weight=1.0)
    plain, loss = (CWDLoss(**settings, standardize=x) for x in (False, True))
    student, teacher = (
        [m.double() for m in maps] for maps in (USUAL.student, USUAL.teacher)
    )

    def normal(maps):
        mean = maps.mean((0, 2, 3), keepdim=True)
        variance = ((maps - mean) ** 2).mean((0, 2, 3), keepdim=True)
        return (maps - mean) / (variance + 1e-5).sqrt()

    expected = plain(
        [normal(m) for m in student], [normal(m) for m in teacher], None
    )
    torch.testing.assert_close(loss(student, teacher, None), expected)
    scaled = [30 * m + 1 for m in student]
    torch.testing.assert_close(
        loss(scaled, teacher, None), expected, rtol=1e-4, atol=0
    )


def test_standardized_one_number_per_channel():
    student = torch.randn(1, 3, 1, 1, requires_grad=True)
    loss = CWDLoss(tau=1.0, loss_weight=1.0, standardize=True)
    value = loss([student], [torch.randn(1, 3, 1, 1)], None)
    value.backward()
    assert value == 0 and not student.grad.any()
