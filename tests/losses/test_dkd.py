"""DKD: its formula, pinned values and what only DKD promises."""

import pytest
import torch

from mmkd_plugin.losses import DKDLoss, dkd_loss, kd_loss
from tests.helpers.loss_cases import LABELS, PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import (
    Loss,
    LossChecks,
    StandardizedChecks,
    standardized,
)
from tests.helpers.loss_oracles import exactly, kl, pick_and_rest, softmax


@exactly
def oracle(student, teacher, labels, alpha, beta, tau):
    values = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        tckd = kl(
            pick_and_rest(softmax(t, tau), y),
            pick_and_rest(softmax(s, tau), y),
        )
        others = [i for i in range(len(t)) if i != y]
        nckd = kl(
            softmax([t[i] for i in others], tau),
            softmax([s[i] for i in others], tau),
        )
        values.append(tau**2 * (alpha * tckd + beta * nckd))
    return values


class TestDKD(LossChecks):
    loss = Loss(
        dkd_loss,
        DKDLoss,
        oracle,
        dict(alpha=1.5, beta=0.25, tau=2.0),
        takes_labels=True,
    )


class TestDKDStandardized(StandardizedChecks):
    loss = standardized(TestDKD.loss)


@pytest.mark.parametrize(
    'numbers, expected',
    [
        (
            dict(alpha=1.0, beta=0.25, tau=1.0),
            [0.432359444, 0.660234813, 0.291009192],
        ),
        (
            dict(alpha=1.0, beta=8.0, tau=4.0),
            [0.593655876, 1.897706124, 12.729723127],
        ),
        (
            dict(alpha=1.0, beta=0.0, tau=4.0),
            [0.370392067, 0.585961318, 0.586900116],
        ),
        (
            dict(alpha=9.0, beta=2.25, tau=2.0, standardize=True),
            [1.273938632, 1.112668707, 0.665601258],
        ),
    ],
)
def test_pinned(numbers, expected):
    value = dkd_loss(*PINNED, **numbers)
    torch.testing.assert_close(value, torch.tensor(expected))


def test_student_equal_to_teacher():
    student = TEACHER.clone().requires_grad_()
    value = DKDLoss(beta=8.0, tau=4.0)(student, TEACHER, LABELS)
    value.backward()
    assert value.item() == 0
    torch.testing.assert_close(
        student.grad, torch.zeros(5, 7), rtol=0, atol=1e-6
    )


def test_kd_is_the_coupled_form():
    """KD = TCKD + (1 - p^T_y) NCKD, Eq. 6 of the paper."""
    tau = 2.0
    student, teacher = STUDENT.double(), TEACHER.double()
    p_label = (teacher / tau).softmax(1).gather(1, LABELS[:, None])[:, 0]
    tckd, nckd = (
        dkd_loss(student, teacher, LABELS, alpha=alpha, beta=beta, tau=tau)
        for alpha, beta in [(1.0, 0.0), (0.0, 1.0)]
    )
    torch.testing.assert_close(
        tckd + (1 - p_label) * nckd, kd_loss(student, teacher, tau=tau)
    )


def test_two_classes_have_no_other_classes_to_rank():
    student = torch.randn(4, 2, requires_grad=True)
    labels = torch.tensor([0, 1, 1, 0])
    value = dkd_loss(
        student, torch.randn(4, 2), labels, alpha=0.0, beta=1.0, tau=1.0
    )
    value.sum().backward()
    assert value.eq(0).all() and student.grad.eq(0).all()


@pytest.mark.parametrize('standardize', [False, True])
def test_one_class(standardize):
    student = torch.randn(3, 1, requires_grad=True)
    labels = torch.zeros(3, dtype=torch.int64)
    value = dkd_loss(
        student,
        torch.randn(3, 1),
        labels,
        alpha=1.0,
        beta=1.0,
        tau=1.0,
        standardize=standardize,
    )
    value.sum().backward()
    assert value.eq(0).all() and student.grad.eq(0).all()
