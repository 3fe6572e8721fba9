"""Binary DKD: its formula, pinned values and what only it promises."""

import pytest
import torch

from mmkd_plugin.losses import (
    BinaryDKDLoss,
    binary_dkd_loss,
    binary_kd_loss,
)
from tests.helpers.dense_loss_checks import DenseLossChecks
from tests.helpers.loss_cases import LABELS, PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import Loss
from tests.helpers.loss_oracles import exactly, kl, softmax


def binary(s, t, tau):
    """A sigmoid is a softmax over the logit and 0."""
    return kl(softmax([t, 0 * t], tau), softmax([s, 0 * s], tau))


@exactly
def oracle(student, teacher, labels, alpha, beta, tau):
    rows = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        others = [c for c in range(len(s)) if c != y]
        tckd = binary(s[y], t[y], tau)
        nckd = sum(binary(s[c], t[c], tau) for c in others)
        rows.append(tau**2 * (alpha * tckd + beta * nckd))
    return rows


class TestBinaryDKD(DenseLossChecks):
    background_counts = False
    loss = Loss(
        binary_dkd_loss,
        BinaryDKDLoss,
        oracle,
        dict(alpha=1.5, beta=0.5, tau=2.0),
        takes_labels=True,
    )


@pytest.mark.parametrize(
    'factors, expected',
    [
        (dict(alpha=1.0, beta=0.0), [0.067130754, 0.007626707, 0.033760491]),
        (dict(alpha=0.0, beta=1.0), [0.180668303, 0.989766016, 0.81242124]),
    ],
)
def test_pinned(factors, expected):
    found = binary_dkd_loss(*PINNED, tau=1.0, **factors)
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize('tau', [1.0, 2.0])
def test_equal_factors_are_binary_kd(tau):
    """Then the label is a class as any other."""
    found = binary_dkd_loss(
        STUDENT, TEACHER, LABELS, alpha=1.0, beta=1.0, tau=tau
    )
    plain = binary_kd_loss(STUDENT / tau, TEACHER / tau, tau=1.0)
    torch.testing.assert_close(found, tau**2 * plain)


def test_one_class():
    """There is no other."""
    labels = torch.tensor([0, 1, 0, 1, 0])
    student, teacher = STUDENT[:, :1], TEACHER[:, :1]
    found = binary_dkd_loss(
        student, teacher, labels, alpha=2.0, beta=5.0, tau=1.0
    )
    plain = 2 * binary_kd_loss(student, teacher, tau=1.0)
    torch.testing.assert_close(found, plain.masked_fill(labels == 1, 0))


def test_counts_the_positives_that_have_a_weight():
    loss = BinaryDKDLoss(beta=1.0, tau=1.0)
    labels = LABELS.clone()
    labels[[0, 4]] = 7
    case = STUDENT, TEACHER, labels
    assert loss.counted(*case).tolist() == [False, True, True, True, False]
    weights = torch.tensor([1.0, 0.0, 0.5, 1.0, 1.0])
    counted = loss.counted(*case, weights).tolist()
    assert counted == [False, False, True, True, False]
