"""BCKD: its formula, pinned values, and its factor's gradient."""

from decimal import Decimal

import pytest
import torch
from torch.nn import functional as F

from mmkd_plugin.losses import BCKDLoss, bckd_loss
from tests.helpers.dense_loss_checks import DenseLossChecks
from tests.helpers.feature_cases import waves
from tests.helpers.loss_cases import PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import Loss
from tests.helpers.loss_oracles import exactly


def two_sided(logit):
    """p and 1 - p, each with all its digits."""
    return 1 / (1 + (-logit).exp()), 1 / (1 + logit.exp())


@exactly
def oracle(student, teacher, labels, beta):
    def loss(s, t):
        (p, not_p), (q, not_q) = two_sided(s), two_sided(t)
        gap = abs(p - q)
        factor = gap**beta if gap or beta else Decimal(1)
        return -(q * p.ln() + not_q * not_p.ln()) * factor

    return [
        sum(loss(s, t) for s, t in zip(*rows, strict=True))
        for rows in zip(student, teacher, strict=True)
    ]


def per_row(student, teacher, labels, *, beta):
    """It has no labels: they only count the positives."""
    return bckd_loss(student, teacher, beta=beta)


class Checks(DenseLossChecks):
    def test_numbers_that_papers_choose_differently_have_no_default(self):
        """Here they agree."""
        module = BCKDLoss()
        assert module.beta == module.loss_weight == 1


class TestBCKD(Checks):
    loss = Loss(per_row, BCKDLoss, oracle, dict(beta=1.0), True)


class OtherBetas(Checks):
    # As for beta 1.
    test_compiled_by_inductor = None
    test_compiled_without_graph_break = None
    test_equal_shares_equal_the_whole = None
    test_unequal_shares_equal_the_whole = None


class TestPlainEntropy(OtherBetas):
    loss = Loss(per_row, BCKDLoss, oracle, dict(beta=0.0), True)


class TestSquared(OtherBetas):
    loss = Loss(per_row, BCKDLoss, oracle, dict(beta=2.0), True)


def test_pinned():
    """What the code of CrossKD gives."""
    student, teacher = (4 * rows for rows in waves(4, 5))
    value = bckd_loss(student, teacher, beta=1.0).sum()
    assert value.item() == pytest.approx(1.6254073558, abs=1e-10)


@pytest.mark.parametrize(
    'beta, expected',
    [
        (0.0, [2.253817057, 2.701843306, 2.372191897]),
        (1.0, [0.317730966, 0.938298056, 0.690868226]),
    ],
)
def test_pinned_rows(beta, expected):
    student, teacher, _ = PINNED
    found = bckd_loss(student, teacher, beta=beta)
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize('beta', [0.5, 1.0, 1.5, 2.0])
def test_equals_the_plain_form(beta):
    """With the gradient that autograd finds for it, also of the factor."""
    student = STUDENT.double().requires_grad_()
    target = TEACHER.double().sigmoid()
    entropy = F.binary_cross_entropy_with_logits(
        student, target, reduction='none'
    )
    gap = (student.sigmoid() - target).abs()
    plain = (entropy * gap**beta).sum()
    found = bckd_loss(student, TEACHER.double(), beta=beta).sum()
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(
        *(torch.autograd.grad(value, student)[0] for value in (found, plain))
    )


def test_is_the_quality_focal_loss_of_mmdet():
    """Whose target of each class is here the teacher's."""
    losses = pytest.importorskip('mmdet.models.losses.gfocal_loss')
    target = TEACHER.sigmoid()
    expected = losses.quality_focal_loss_tensor_target(
        STUDENT, target, beta=2.0, reduction='none'
    )
    found = bckd_loss(STUDENT, TEACHER, beta=2.0)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('beta', [0.0, 0.5, 1.0, 2.0])
def test_student_equal_to_teacher(beta):
    """The least value of the cross entropy is not 0; that of the loss is."""
    student = TEACHER.clone().requires_grad_()
    value = bckd_loss(student, TEACHER, beta=beta)
    assert value.eq(0).all() == (beta > 0)
    grad = torch.autograd.grad(value.sum(), student)[0]
    assert grad.abs().max() == 0


@pytest.mark.parametrize('beta', [0.0, 1.0, 2.0])
def test_classes_that_are_nearly_certain_keep_their_digits(beta):
    """1 - p and 1 - q, of logits in the twenties, are below 1e-8."""
    student = torch.tensor([[21.0, -25.0, 24.0]])
    teacher = torch.tensor([[25.0, -21.0, 20.0]])
    labels = torch.zeros(1, dtype=torch.int64)
    expected = oracle(student, teacher, labels, beta=beta)
    found = bckd_loss(student, teacher, beta=beta)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
