"""DIST: its formula, pinned values, rows and classes without correlation."""

from decimal import Decimal

import numpy as np
import pytest
import torch

from mmkd_plugin.losses import DISTLoss, dist_loss, kd_loss
from tests.helpers.loss_cases import LABELS, PINNED, STUDENT, TEACHER, draw
from tests.helpers.loss_checks import Loss, LossChecks
from tests.helpers.loss_oracles import exactly, softmax

INTER = dict(beta=1.0, gamma=0.0, tau=1.0)
INTRA = dict(beta=0.0, gamma=1.0, tau=1.0)


@exactly
def oracle(student, teacher, labels, beta, gamma, tau):
    def correlation(a, b):
        a = [x - sum(a) / len(a) for x in a]
        b = [x - sum(b) / len(b) for x in b]
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        lengths = sum(x * x for x in a).sqrt() * sum(y * y for y in b).sqrt()
        return dot / (lengths + Decimal('1e-8'))

    student = [softmax(row, tau) for row in student]
    teacher = [softmax(row, tau) for row in teacher]
    columns = list(zip(zip(*student), zip(*teacher)))
    intra = sum(1 - correlation(s, t) for s, t in columns) / len(columns)
    return [
        tau**2 * (beta * (1 - correlation(s, t)) + gamma * intra)
        for s, t in zip(student, teacher, strict=True)
    ]


class TestDIST(LossChecks):
    loss = Loss(
        dist_loss,
        DISTLoss,
        oracle,
        dict(beta=1.5, gamma=0.5, tau=2.0),
        in_shares=dict(gamma=0),
    )


def values_and_gradient(student, teacher, **numbers):
    student = student.clone().requires_grad_()
    values = dist_loss(student, teacher, **numbers)
    return values.detach(), torch.autograd.grad(values.sum(), student)[0]


@pytest.mark.parametrize(
    'numbers, expected',
    [
        (INTER, [0.737633897, 0.663499640, 0.006036289]),
        (INTRA, [0.054958294, 0.054958294, 0.054958294]),
        (
            dict(beta=2.0, gamma=2.0, tau=1.0),
            [1.585184382, 1.436915867, 0.121989164],
        ),
        (
            dict(beta=2.0, gamma=2.0, tau=4.0),
            [14.11026241, 14.617502892, 9.26388778],
        ),
    ],
)
def test_pinned(numbers, expected):
    student, teacher, _ = PINNED
    torch.testing.assert_close(
        dist_loss(student, teacher, **numbers), torch.tensor(expected)
    )


@pytest.mark.parametrize('tau', [1.0, 4.0])
def test_terms_are_the_correlations_that_numpy_computes(tau):
    student, teacher, _ = draw(9, 6, seed=8, scale=1.0)
    s, t = ((z / tau).softmax(1).double().numpy() for z in (student, teacher))
    rows = [1 - np.corrcoef(a, b)[0, 1] for a, b in zip(s, t)]
    columns = [1 - np.corrcoef(a, b)[0, 1] for a, b in zip(s.T, t.T)]
    for beta, gamma in ((1.0, 0.0), (0.0, 1.0), (0.5, 3.0)):
        found = dist_loss(student, teacher, beta=beta, gamma=gamma, tau=tau)
        wanted = beta * np.array(rows) + gamma * np.mean(columns)
        wanted = torch.from_numpy(tau**2 * wanted)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=0)


def test_relations_are_matched_where_probabilities_need_not_be():
    """A student that is less sure, in proportion, has nothing to learn."""
    probabilities = TEACHER.softmax(1)
    student = (0.3 * probabilities + 0.7 / 7).log()
    assert kd_loss(student, TEACHER, tau=1.0).min() > 0.1
    for numbers in (INTER, INTRA):
        values, gradient = values_and_gradient(student, TEACHER, **numbers)
        torch.testing.assert_close(values, torch.zeros(5), rtol=0, atol=1e-4)
        assert gradient.abs().max() < 1e-3


def test_student_equal_to_teacher():
    values, gradient = values_and_gradient(
        TEACHER, TEACHER, beta=1.0, gamma=1.0, tau=1.0
    )
    torch.testing.assert_close(values, torch.zeros(5), rtol=0, atol=1e-5)
    assert gradient.abs().max() < 1e-4


def test_floor_of_a_class_that_nobody_predicts():
    """It has next to no correlation, though student and teacher are one."""
    teacher = TEACHER.clone()
    teacher[:, 0] -= 30
    value = dist_loss(teacher, teacher, **INTRA)
    torch.testing.assert_close(value, torch.full((5,), 1 / 7))


@pytest.mark.parametrize('whose', ['student', 'teacher'])
def test_row_of_equal_logits(whose):
    batch = dict(student=STUDENT.clone(), teacher=TEACHER.clone())
    batch[whose][1] = 0.3
    values, gradient = values_and_gradient(**batch, **INTER)
    assert values[1] == 1
    assert torch.equal(gradient.eq(0).all(1), torch.arange(5).eq(1))
    others = torch.arange(5) != 1
    expected = dist_loss(STUDENT, TEACHER, **INTER)
    torch.testing.assert_close(values[others], expected[others])


@pytest.mark.parametrize('rows', [2, 5, 512, 4096])
@pytest.mark.parametrize('whose', ['student', 'teacher'])
def test_all_rows_alike(whose, rows):
    """Means of equal numbers are rounded, yet no class has a correlation."""
    student, teacher, _ = draw(rows, 7, seed=rows)
    if whose == 'student':
        student[:] = STUDENT[0]
    else:
        teacher[:] = TEACHER[0]
    values, gradient = values_and_gradient(student, teacher, **INTRA)
    assert values.eq(1).all()
    assert gradient.eq(0).all()


def test_one_row():
    values, gradient = values_and_gradient(
        STUDENT[:1], TEACHER[:1], beta=1.0, gamma=3.0, tau=1.0
    )
    row, expected = values_and_gradient(STUDENT[:1], TEACHER[:1], **INTER)
    torch.testing.assert_close(values, row + 3)
    assert torch.equal(gradient, expected)


def test_one_class():
    values, gradient = values_and_gradient(
        torch.randn(3, 1), torch.randn(3, 1), beta=1.0, gamma=3.0, tau=2.0
    )
    assert values.eq(16).all() and gradient.eq(0).all()


def test_invalid_rows_are_in_no_column():
    valid = torch.tensor([True, False, True, True, False])
    numbers = dict(beta=1.0, gamma=1.0, tau=1.0)
    value = dist_loss(STUDENT, TEACHER, valid=valid, **numbers)
    expected = dist_loss(STUDENT[valid], TEACHER[valid], **numbers)
    torch.testing.assert_close(value[valid], expected)
    assert value[~valid].eq(0).all()
    everyone = dist_loss(STUDENT, TEACHER, **numbers)
    assert not torch.isclose(everyone[valid], expected).any()


def test_weights_do_not_change_the_columns():
    weights = torch.tensor([1.0, 1.0, 0.25, 1.0, 1.0])
    rows = dist_loss(STUDENT, TEACHER, beta=2.0, gamma=2.0, tau=1.0)
    value = DISTLoss(beta=2.0, gamma=2.0, tau=1.0)(
        STUDENT, TEACHER, LABELS, weights
    )
    torch.testing.assert_close(value, (weights * rows).sum() / 5)
