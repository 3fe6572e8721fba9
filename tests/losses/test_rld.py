"""RLD: its formula, pinned values, the mask and its edges, DKD's parity."""

import pytest
import torch

from mmkd_plugin.losses import RLDLoss, dkd_loss, rld_loss
from tests.helpers.loss_cases import LABELS, PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import (
    Loss,
    LossChecks,
    StandardizedChecks,
    standardized,
)
from tests.helpers.loss_oracles import exactly, kl, pick_and_rest, softmax

SCD = dict(alpha=1.0, beta=0.0, tau_scd=2.0, tau_mcd=3.0)
MCD = dict(alpha=0.0, beta=1.0, tau_scd=2.0, tau_mcd=3.0)


@exactly
def oracle(student, teacher, labels, alpha, beta, tau_scd, tau_mcd):
    values = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        scd = kl(
            pick_and_rest(softmax(t, tau_scd), t.index(max(t))),
            pick_and_rest(softmax(s, tau_scd), y),
        )
        kept = [i for i in range(len(t)) if t[i] < t[y]]
        mcd = kl(
            softmax([t[i] for i in kept], tau_mcd),
            softmax([s[i] for i in kept], tau_mcd),
        )
        values.append(alpha * tau_scd**2 * scd + beta * tau_mcd**2 * mcd)
    return values


class TestRLD(LossChecks):
    loss = Loss(
        rld_loss,
        RLDLoss,
        oracle,
        dict(alpha=0.5, beta=1.5, tau_scd=2.0, tau_mcd=3.0),
        takes_labels=True,
    )


class TestRLDStandardized(StandardizedChecks):
    loss = standardized(TestRLD.loss)


@pytest.mark.parametrize(
    'numbers, expected',
    [
        (
            dict(alpha=1.0, beta=0.25, tau_scd=1.0, tau_mcd=1.0),
            [0.432359444, 0.287640701, 0.291009192],
        ),
        (
            dict(alpha=1.0, beta=8.0, tau_scd=4.0, tau_mcd=4.0),
            [0.593655876, 2.496554989, 12.729723127],
        ),
        (
            dict(alpha=1.0, beta=8.0, tau_scd=1.0, tau_mcd=4.0),
            [0.650111425, 2.443977726, 12.250637254],
        ),
        (
            dict(
                alpha=9.0,
                beta=72.0,
                tau_scd=2.0,
                tau_mcd=2.0,
                standardize=True,
            ),
            [4.674253332, 2.636783199, 21.247828352],
        ),
    ],
)
def test_pinned(numbers, expected):
    value = rld_loss(*PINNED, **numbers)
    torch.testing.assert_close(value, torch.tensor(expected))


@pytest.mark.parametrize('standardize', [False, True])
@pytest.mark.parametrize('tau', [1.0, 4.0])
def test_equals_dkd_where_the_teacher_is_right(tau, standardize):
    labels = TEACHER.argmax(1)
    grads, values = [], []
    for function, temperatures in [
        (rld_loss, dict(tau_scd=tau, tau_mcd=tau)),
        (dkd_loss, dict(tau=tau)),
    ]:
        student = STUDENT.clone().requires_grad_()
        value = function(
            student,
            TEACHER,
            labels,
            alpha=1.5,
            beta=8.0,
            standardize=standardize,
            **temperatures,
        )
        value.sum().backward()
        values.append(value.detach())
        grads.append(student.grad)
    assert torch.equal(*values)
    assert torch.equal(*grads)


def test_differs_from_dkd_where_the_teacher_is_wrong():
    student, teacher, labels = (tensor[1:2] for tensor in PINNED)
    rld = rld_loss(
        student, teacher, labels, alpha=1, beta=1, tau_scd=1, tau_mcd=1
    )
    dkd = dkd_loss(student, teacher, labels, alpha=1, beta=1, tau=1)
    assert (rld - dkd).abs() > 0.1


def test_gradient_of_scd_in_the_logit_of_the_label():
    """It is tau (p^S_y - max p^T)."""
    student = STUDENT.double().requires_grad_()
    teacher = TEACHER.double()
    rld_loss(student, teacher, LABELS, **SCD).sum().backward()
    rows = torch.arange(5)
    p_student = (student / 2).softmax(1)[rows, LABELS]
    p_teacher = (teacher / 2).softmax(1).amax(1)
    torch.testing.assert_close(
        student.grad[rows, LABELS], (2 * (p_student - p_teacher)).detach()
    )


def test_mcd_touches_only_the_classes_ranked_below_the_label():
    """Class 1 ties with the label 0, class 2 is above it, 3 to 5 below."""
    teacher = torch.tensor([[1.0, 1.0, 2.0, 0.5, -1.0, 0.0]])
    student = STUDENT[:1, :6].clone().requires_grad_()
    value = rld_loss(student, teacher, torch.tensor([0]), **MCD)
    value.sum().backward()
    assert value > 0
    assert student.grad[0, :3].eq(0).all()
    assert student.grad[0, 3:].ne(0).all()


@pytest.mark.parametrize(
    'teacher, label',
    [
        ([-3.0, 1.0, 2.0, 0.5], 0),  # the label is last: all masked
        ([1.0, 1.0, 1.0, 1.0], 2),  # all tied: all masked
        ([-2.0, 1.0, 2.0, -3.0], 0),  # class 3 alone is left
        ([-1e4, 1e4, 0.0, 3.0], 0),  # all masked, far apart
        ([2.0, 1.0], 0),  # two classes, the teacher right
        ([2.0, 1.0], 1),  # two classes, the teacher wrong
        ([5.0], 0),  # one class
    ],
)
def test_mcd_of_fewer_than_two_classes(teacher, label):
    student = STUDENT[:1, : len(teacher)].clone().requires_grad_()
    value = rld_loss(
        student, torch.tensor([teacher]), torch.tensor([label]), **MCD
    )
    value.sum().backward()
    assert value.item() == 0
    assert student.grad.eq(0).all()


@pytest.mark.parametrize('standardize', [False, True])
def test_one_class_has_nothing_to_distil(standardize):
    student = torch.randn(3, 1, requires_grad=True)
    labels = torch.zeros(3, dtype=torch.int64)
    value = rld_loss(
        student, torch.randn(3, 1), labels, **SCD, standardize=standardize
    )
    value.sum().backward()
    assert value.eq(0).all() and student.grad.eq(0).all()


def test_mask_is_taken_before_the_temperature():
    """Two neighbouring floats differ, but no longer once divided by tau."""
    low = torch.tensor(1.5).nextafter(torch.tensor(2.0))
    high = low.nextafter(torch.tensor(2.0))
    assert low / 3 == high / 3
    teacher = torch.stack([low, high, -low, 0 * low])
    student = STUDENT[:1, :4].clone().requires_grad_()
    rld_loss(student, teacher[None], torch.tensor([1]), **MCD).sum().backward()
    assert student.grad[0, 0] != 0
