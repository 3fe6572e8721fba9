"""MLKD of one view: its formula, pinned values, and what it depends on."""

import pytest
import torch

from mmkd_plugin.losses import MLKDLoss, kd_loss, mlkd_loss
from tests.helpers.loss_cases import PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import Loss, LossChecks
from tests.helpers.loss_oracles import exactly, kl, softmax

TAUS = [2.0, 3.0, 4.0, 5.0, 6.0]


@exactly
def at_one_tau(student, teacher, labels, alpha, beta, gamma, tau):
    own = [softmax(row, tau) for row in student]
    target = [softmax(row, tau) for row in teacher]

    def dots(rows):
        return [[sum(x * y for x, y in zip(a, b)) for b in rows] for a in rows]

    def distances(ours, theirs):
        return [
            sum((x - y) ** 2 for x, y in zip(a, b))
            for a, b in zip(ours, theirs)
        ]

    batch = distances(dots(own), dots(target))
    columns = distances(dots(list(zip(*own))), dots(list(zip(*target))))
    classes = sum(columns) / len(columns)
    return [
        alpha * tau**2 * kl(t, s) + beta * row + gamma * classes
        for t, s, row in zip(target, own, batch)
    ]


def oracle(*batch, taus, **numbers):
    return sum(at_one_tau(*batch, tau=tau, **numbers) for tau in taus)


class TestMLKD(LossChecks):
    loss = Loss(
        mlkd_loss,
        MLKDLoss,
        oracle,
        dict(alpha=1.5, beta=0.5, gamma=0.25),
        settings=dict(taus=[2.0, 4.0]),
        in_shares=dict(beta=0, gamma=0),
    )
    # It takes long, and the parts are those of other losses.
    test_compiled_by_inductor = None


def parts(student, teacher, taus):
    """The three terms of a batch."""
    weights = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    names = ('alpha', 'beta', 'gamma')
    return [
        mlkd_loss(student, teacher, taus=taus, **dict(zip(names, w))).mean()
        for w in weights
    ]


def test_pinned():
    student, teacher, _ = PINNED
    found = torch.stack(parts(student, teacher, TAUS))
    expected = [3.824217146, 0.057564813, 0.137133269]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_terms_are_norms_of_matrices():
    instance, batch, classes = parts(STUDENT, TEACHER, [4.0])
    p, q = ((z / 4).softmax(1) for z in (STUDENT, TEACHER))
    wanted = kd_loss(STUDENT, TEACHER, tau=4.0).mean()
    torch.testing.assert_close(instance, wanted)
    torch.testing.assert_close(batch, (q @ q.T - p @ p.T).norm() ** 2 / 5)
    torch.testing.assert_close(classes, (q.T @ q - p.T @ p).norm() ** 2 / 7)


def test_student_equal_to_teacher():
    student = TEACHER.clone().requires_grad_()
    value = MLKDLoss(taus=TAUS)(student, TEACHER, None)
    value.backward()
    assert value.item() == 0
    assert student.grad.abs().max() < 1e-5


@pytest.mark.parametrize('taus', [4.0, [], 'ab', None])
def test_taus_that_are_no_list(taus):
    with pytest.raises(ValueError, match='`taus` to be a list of temp'):
        MLKDLoss(taus=taus)


def test_one_of_the_taus_out_of_range():
    with pytest.raises(ValueError, match=r'`taus\[1\]` .* 0.0001 to 10000'):
        MLKDLoss(taus=[1.0, 0.0])
