"""KD: its formula, pinned values and what only KD promises."""

import pytest
import torch

from mmkd_plugin.losses import KDLoss, kd_loss
from tests.helpers.loss_cases import PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import (
    Loss,
    LossChecks,
    StandardizedChecks,
    standardized,
)
from tests.helpers.loss_oracles import exactly, kl, softmax


@exactly
def oracle(student, teacher, labels, tau):
    return [
        tau**2 * kl(softmax(t, tau), softmax(s, tau))
        for s, t in zip(student, teacher, strict=True)
    ]


class TestKD(LossChecks):
    loss = Loss(kd_loss, KDLoss, oracle, dict(tau=2.0))


class TestKDStandardized(StandardizedChecks):
    loss = standardized(TestKD.loss)


@pytest.mark.parametrize(
    'numbers, expected',
    [
        (dict(tau=1.0), [0.434404706, 0.691471577, 0.134536550]),
        (dict(tau=4.0), [0.388163523, 0.702083019, 1.296154666]),
        (
            dict(tau=2.0, standardize=True),
            [0.159454752, 0.182258138, 0.166296972],
        ),
    ],
)
def test_pinned(numbers, expected):
    student, teacher, _ = PINNED
    torch.testing.assert_close(
        kd_loss(student, teacher, **numbers), torch.tensor(expected)
    )


def test_student_equal_to_teacher():
    student = TEACHER.clone().requires_grad_()
    value = KDLoss(tau=2.0)(student, TEACHER, None)
    value.backward()
    assert value.item() == 0
    torch.testing.assert_close(
        student.grad, torch.zeros(5, 7), rtol=0, atol=1e-7
    )


def test_gradient_is_tau_times_the_difference_of_probabilities():
    student = STUDENT.double().requires_grad_()
    teacher = TEACHER.double()
    kd_loss(student, teacher, tau=3.0).sum().backward()
    expected = 3 * ((student / 3).softmax(1) - (teacher / 3).softmax(1))
    torch.testing.assert_close(student.grad, expected.detach())


@pytest.mark.parametrize('standardize', [False, True])
def test_one_class(standardize):
    student = torch.randn(3, 1, requires_grad=True)
    value = kd_loss(
        student, torch.randn(3, 1), tau=1.0, standardize=standardize
    )
    value.sum().backward()
    assert value.eq(0).all() and student.grad.eq(0).all()
