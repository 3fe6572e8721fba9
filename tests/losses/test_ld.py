"""LD: its formula, the authors' formulas, and both normalisers."""

from decimal import Decimal

import pytest
import torch
from torch.nn import functional as F

from mmkd_plugin.losses import LDLoss, ld_loss
from tests.helpers.loss_oracles import kl, softmax
from tests.helpers.shared_checks import SharedChecks

PARTS = dict(loss_weight=1.0, normalize='weights')


def draw(rows, bins=17, seed=0):
    """Bins of student and teacher, and weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, rows, 4, bins, generator=generator)
    return *logits, torch.rand(rows, generator=generator)


class Bins:
    module = LDLoss
    numbers = dict(tau=10.0)
    settings = dict(normalize='weights')

    def arguments(self):
        return {**self.numbers, **self.settings}

    def build(self, **changes):
        return LDLoss(**{'loss_weight': 1.0, **self.arguments(), **changes})


class TestLD(SharedChecks):
    loss = Bins()


def oracle(student, teacher, tau):
    """Losses of the rows, in exact arithmetic."""
    rows = []
    for own, other in zip(student.tolist(), teacher.tolist(), strict=True):
        sides = [
            kl(softmax([Decimal(z) for z in t], tau), softmax(s, tau))
            for s, t in zip(
                [[Decimal(z) for z in side] for side in own],
                other,
                strict=True,
            )
        ]
        rows.append(float(tau**2 * sum(sides) / 4))
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize('bins', [2, 17])
@pytest.mark.parametrize('tau', [1, 10])
def test_value(tau, bins):
    student, teacher, _ = draw(5, bins)
    expected = oracle(student, teacher, Decimal(tau))
    found = ld_loss(student.double(), teacher.double(), tau=tau)
    torch.testing.assert_close(found, expected)
    found = ld_loss(student, teacher, tau=tau)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=4e-6)


def test_gradient():
    student, teacher, _ = draw(3, bins=5)
    student = student.double().requires_grad_()
    teacher = teacher.double().requires_grad_()
    torch.autograd.gradcheck(
        lambda logits: ld_loss(logits, teacher, tau=2.0), student
    )
    ld_loss(student, teacher, tau=2.0).sum().backward()
    assert student.grad.ne(0).all() and teacher.grad is None


def test_pinned():
    teacher = torch.zeros(2, 4, 3)
    teacher[0, 1] = torch.tensor([2.0, 0.0, 0.0])
    teacher[1] = torch.tensor([0.0, 1.0, 3.0])
    found = ld_loss(torch.zeros(2, 4, 3), teacher, tau=1.0)
    torch.testing.assert_close(found, torch.tensor([0.108259902, 0.574345672]))


def test_as_the_authors_of_ld_write_it():
    """The mean over 17 bins, / 4, tau 10, weight 0.25.

    The weight q is the student's best probability of a class. It does not
    divide, although it divides the box losses of the head.
    """
    student, teacher, q = draw(6)
    soft = F.softmax(teacher / 10, dim=2).reshape(-1, 17)
    logits = F.log_softmax(student / 10, dim=2).reshape(-1, 17)
    each = F.kl_div(logits, soft, reduction='none').mean(1) * (10 * 10)
    expected = 0.25 * (each * q[:, None].expand(-1, 4).reshape(-1)).sum() / 4
    loss = LDLoss(tau=10.0, loss_weight=0.25 / 17, normalize='sum')
    value = loss(student, teacher, None, q)
    torch.testing.assert_close(value, expected)


def test_equals_the_loss_of_mmdet():
    """With which its LDHead computes the same, at avg_factor=4."""
    losses = pytest.importorskip('mmdet.models.losses')
    student, teacher, q = draw(6)
    plain = losses.KnowledgeDistillationKLDivLoss(loss_weight=0.25, T=10)
    expected = plain(
        student.reshape(-1, 17),
        teacher.reshape(-1, 17),
        weight=q[:, None].expand(-1, 4).reshape(-1),
        avg_factor=4.0,
    )
    loss = LDLoss(tau=10.0, loss_weight=0.25 / 17, normalize='sum')
    torch.testing.assert_close(loss(student, teacher, None, q), expected)


def test_as_the_authors_of_crosskd_write_it():
    """The sum over the bins, q for each of 4 sides, / 4, / sum q, weight 4."""
    student, teacher, q = draw(6)
    soft = F.softmax(teacher, dim=2).reshape(-1, 17)
    logits = F.log_softmax(student, dim=2).reshape(-1, 17)
    each = F.kl_div(logits, soft, reduction='none').sum(1)
    weighted = each * q[:, None].expand(-1, 4).reshape(-1)
    expected = 4.0 * weighted.sum() / 4.0 / q.sum()
    loss = LDLoss(tau=1.0, loss_weight=4.0, normalize='weights')
    value = loss(student, teacher, None, q)
    torch.testing.assert_close(value, expected)


def test_a_row_of_weight_0_takes_no_part():
    student, teacher, weights = draw(6)
    weights[2] = 0
    student.requires_grad_()
    for normalize in ('sum', 'weights'):
        loss = LDLoss(tau=1.0, loss_weight=1.0, normalize=normalize)
        value = loss(student, teacher, None, weights)
        (grad,) = torch.autograd.grad(value, student)
        assert grad[2].eq(0).all() and grad[[0, 1, 3, 4, 5]].ne(0).all()
        keep = weights > 0
        expected = loss(student[keep], teacher[keep], None, weights[keep])
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize('rows', [0, 3])
@pytest.mark.parametrize('normalize', ['sum', 'weights'])
def test_no_row_counts(rows, normalize):
    student, teacher, _ = draw(rows)
    student.requires_grad_()
    loss = LDLoss(tau=1.0, loss_weight=1.0, normalize=normalize)
    value = loss(student, teacher, None, torch.zeros(rows))
    value.backward()
    assert value == 0
    assert student.grad.shape == (rows, 4, 17) and not student.grad.any()


def test_logits_that_are_far_apart():
    student, teacher, weights = draw(4)
    student = (1e3 * student).requires_grad_()
    value = LDLoss(tau=1.0, **PARTS)(student, -1e3 * teacher, None, weights)
    (grad,) = torch.autograd.grad(value, student)
    assert value.isfinite() and grad.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    student, teacher, weights = draw(5)
    student, teacher = (x.to(dtype) for x in (student, teacher))
    loss = LDLoss(tau=1.0, **PARTS)
    value = loss(student, teacher, None, weights)
    assert value.dtype == torch.float32
    assert value == loss(student.float(), teacher.float(), None, weights)


@pytest.mark.slow
def test_compiled_without_graph_break():
    torch.compiler.reset()
    loss = LDLoss(tau=1.0, **PARTS)
    compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')
    student, teacher, weights = draw(8)
    torch.testing.assert_close(
        compiled(student, teacher, None, weights),
        loss(student, teacher, None, weights),
    )


def test_arguments():
    with pytest.raises(ValueError, match='`normalize` to be one of sum, w'):
        LDLoss(tau=1.0, loss_weight=1.0, normalize='positives')
    with pytest.raises(TypeError, match="required .* 'tau"):
        LDLoss()


@pytest.mark.parametrize(
    'student, teacher, message',
    [
        ((3, 5, 17), (3, 5, 17), r'`student` .* got \(3, 5, 17\).*DenseBinT'),
        ((3, 68), (3, 68), r'`student` .* but got \(3, 68\)'),
        ((3, 4, 17), (3, 4, 9), r'one shape .* \(3, 4, 9\); .* `reg_max`'),
        ((3, 4, 17), (2, 4, 17), r'one shape .* got \(3, 4, 17\) and \(2, 4'),
    ],
)
def test_other_shapes(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        ld_loss(torch.zeros(student), torch.zeros(teacher), tau=1.0)
