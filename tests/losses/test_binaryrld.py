"""Binary RLD: its formula, pinned values and what only it promises."""

import pytest
import torch

from mmkd_plugin.losses import (
    BinaryRLDLoss,
    binary_dkd_loss,
    binary_kd_loss,
    binary_rld_loss,
)
from tests.helpers.dense_loss_checks import DenseLossChecks
from tests.helpers.loss_cases import LABELS, PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import Loss
from tests.helpers.loss_oracles import exactly, kl, softmax

ONES = dict(tau_scd=1.0, tau_mcd=1.0)


def binary(s, t, tau):
    """A sigmoid is a softmax over the logit and 0."""
    return kl(softmax([t, 0 * t], tau), softmax([s, 0 * s], tau))


@exactly
def oracle(student, teacher, labels, alpha, beta, tau_scd, tau_mcd):
    rows = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        scd = binary(s[y], max(t), tau_scd)
        left = [c for c in range(len(s)) if t[c] < t[y]]
        mcd = sum(binary(s[c], t[c], tau_mcd) for c in left)
        rows.append(alpha * tau_scd**2 * scd + beta * tau_mcd**2 * mcd)
    return rows


class TestBinaryRLD(DenseLossChecks):
    background_counts = False
    loss = Loss(
        binary_rld_loss,
        BinaryRLDLoss,
        oracle,
        dict(alpha=1.5, beta=0.5, tau_scd=2.0, tau_mcd=3.0),
        takes_labels=True,
    )


@pytest.mark.parametrize(
    'factors, expected',
    [
        (dict(alpha=1.0, beta=0.0), [0.067130754, 0.0, 0.033760491]),
        (dict(alpha=0.0, beta=1.0), [0.180668303, 0.819943427, 0.81242124]),
    ],
)
def test_pinned(factors, expected):
    found = binary_rld_loss(*PINNED, **ONES, **factors)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_is_binary_dkd_where_the_teacher_is_right():
    labels = TEACHER.argmax(1)
    factors = dict(alpha=1.0, beta=0.25)
    found = binary_rld_loss(STUDENT, TEACHER, labels, **ONES, **factors)
    expected = binary_dkd_loss(STUDENT, TEACHER, labels, tau=1.0, **factors)
    torch.testing.assert_close(found, expected)
    # And elsewhere it is not.
    assert (labels != LABELS).any()
    found = binary_rld_loss(STUDENT, TEACHER, LABELS, **ONES, **factors)
    other = binary_dkd_loss(STUDENT, TEACHER, LABELS, tau=1.0, **factors)
    wrong = labels != LABELS
    assert not found[wrong].isclose(other[wrong]).any()


def test_classes_that_the_teacher_ranks_above_the_label_are_not_taught():
    student = STUDENT.clone().requires_grad_()
    value = binary_rld_loss(
        student, TEACHER, LABELS, alpha=0.0, beta=1.0, **ONES
    )
    (grad,) = torch.autograd.grad(value.sum(), student)
    below = TEACHER.gather(1, LABELS[:, None]) > TEACHER
    assert below.any() and not below.all()
    assert torch.equal(grad != 0, below)


def test_one_class():
    """SCD alone, which then is binary KD."""
    labels = torch.tensor([0, 1, 0, 1, 0])
    student, teacher = STUDENT[:, :1], TEACHER[:, :1]
    found = binary_rld_loss(
        student, teacher, labels, alpha=2.0, beta=5.0, **ONES
    )
    plain = 2 * binary_kd_loss(student, teacher, tau=1.0)
    torch.testing.assert_close(found, plain.masked_fill(labels == 1, 0))


def test_counts_the_positives_that_have_a_weight():
    loss = BinaryRLDLoss(beta=1.0, **ONES)
    labels = LABELS.clone()
    labels[[0, 4]] = 7
    case = STUDENT, TEACHER, labels
    assert loss.counted(*case).tolist() == [False, True, True, True, False]
    weights = torch.tensor([1.0, 0.0, 0.5, 1.0, 1.0])
    counted = loss.counted(*case, weights).tolist()
    assert counted == [False, False, True, True, False]
