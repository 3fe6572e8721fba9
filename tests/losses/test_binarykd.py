"""Binary KD: its formula, pinned values and what only it promises."""

import pytest
import torch
from torch.nn import functional as F

from mmkd_plugin.losses import BinaryKDLoss, binary_kd_loss
from tests.helpers.loss_cases import PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import Loss, LossChecks
from tests.helpers.loss_oracles import exactly, kl, softmax


@exactly
def oracle(student, teacher, labels, tau):
    """A sigmoid is a softmax over the logit and 0."""
    return [
        sum(
            kl(softmax([t / tau, 0 * t], 1), softmax([s, 0 * s], 1))
            for s, t in zip(*rows, strict=True)
        )
        for rows in zip(student, teacher, strict=True)
    ]


class TestBinaryKD(LossChecks):
    loss = Loss(binary_kd_loss, BinaryKDLoss, oracle, dict(tau=2.0))


@pytest.mark.parametrize(
    'tau, expected',
    [
        (1.0, [0.247799057, 0.997392723, 0.846181731]),
        (2.0, [0.250091834, 0.803204741, 0.532004691]),
    ],
)
def test_pinned(tau, expected):
    student, teacher, _ = PINNED
    torch.testing.assert_close(
        binary_kd_loss(student, teacher, tau=tau), torch.tensor(expected)
    )


@pytest.mark.parametrize('tau', [1.0, 3.0])
def test_gradient_is_that_of_the_binary_cross_entropy(tau):
    """As the entropy of the teacher has none."""
    student = STUDENT.double().requires_grad_()
    teacher = TEACHER.double()
    value = binary_kd_loss(student, teacher, tau=tau).sum()
    (found,) = torch.autograd.grad(value, student)
    soft = (teacher / tau).sigmoid()
    plain = F.binary_cross_entropy_with_logits(student, soft, reduction='sum')
    (expected,) = torch.autograd.grad(plain, student)
    torch.testing.assert_close(found, expected)
    entropy = F.binary_cross_entropy(soft, soft, reduction='sum')
    torch.testing.assert_close(value + entropy, plain)
    assert entropy > 1


def test_student_equal_to_teacher():
    student = TEACHER.clone().requires_grad_()
    value = BinaryKDLoss(tau=1.0)(student, TEACHER, None)
    value.backward()
    assert value.item() == 0
    torch.testing.assert_close(
        student.grad, torch.zeros(5, 7), rtol=0, atol=1e-7
    )


def test_temperature_is_of_the_teacher_alone():
    """Its minimum is at z^T / tau."""
    assert binary_kd_loss(TEACHER / 2, TEACHER, tau=2.0).abs().max() < 1e-6
    assert (binary_kd_loss(TEACHER, TEACHER, tau=2.0) > 0.01).all()


def test_anchors_that_do_not_count_do_not_dilute():
    """The mean is over the rows of weight > 0."""
    loss = BinaryKDLoss(tau=1.0)
    student, teacher = STUDENT[:, :1], TEACHER[:, :1]
    weights = torch.zeros(5).index_fill(0, torch.tensor([1, 3]), 1)
    rows = binary_kd_loss(student, teacher, tau=1.0)
    value = loss(student, teacher, None, weights)
    torch.testing.assert_close(value, (rows[1] + rows[3]) / 2)
