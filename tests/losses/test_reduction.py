"""The helpers where the losses' own tests do not look, standardisation."""

import pytest
import torch

from mmkd_plugin.losses import CKDLoss, DKDLoss, KDLoss, RLDLoss, reduction
from tests.helpers.loss_cases import LABELS, STANDARDIZED, STUDENT, TEACHER


@pytest.fixture(params=STANDARDIZED.values(), ids=STANDARDIZED.keys())
def standardized(request):
    return request.param


@pytest.mark.parametrize(
    'weights, expected',
    [
        (None, 4.0),
        ([1.0, 1.0, 1.0], 4.0),
        ([2.0, 0.0, 1.0], 5.0),  # (2 * 1 + 8) / 2
        ([0.5, 0.5, 0.5], 2.0),  # the divisor counts rows, not weights
        ([0.0, 0.0, 0.0], 0.0),
    ],
)
def test_weighted_mean(weights, expected):
    losses = torch.tensor([1.0, 3.0, 8.0])
    if weights is not None:
        weights = torch.tensor(weights)
    assert reduction.weighted_mean(losses, weights).item() == expected


def test_prepared_logits():
    student = torch.randn(2, 3, requires_grad=True)
    teacher = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    student_out, teacher_out = reduction.prepare_logits(student, teacher)
    assert student_out.dtype == teacher_out.dtype == torch.float64
    assert student_out.requires_grad and not teacher_out.requires_grad


def test_standardized_rows_have_mean_0_and_std_1():
    logits = torch.randn(4, 6, dtype=torch.float64) * 5 + 1e3
    rows = reduction.standardize_logits(logits)
    torch.testing.assert_close(rows.mean(1), 0 * rows[:, 0])
    torch.testing.assert_close(rows.std(1), rows.new_ones(4))


@pytest.mark.parametrize(
    'module, expected',
    [
        (CKDLoss(), dict(tau=1.0, loss_weight=1.0)),
        (KDLoss(), dict(tau=1.0, loss_weight=1.0)),
        (KDLoss(standardize=True), dict(tau=2.0, loss_weight=9.0)),
        (
            KDLoss(tau=4.0, loss_weight=0.5, standardize=True),
            dict(tau=4.0, loss_weight=4.5),
        ),
        (DKDLoss(), dict(alpha=1.0, beta=0.25, tau=1.0, loss_weight=1.0)),
        (
            DKDLoss(standardize=True),
            dict(alpha=9.0, beta=2.25, tau=2.0, loss_weight=1.0),
        ),
        (
            DKDLoss(alpha=2.0, beta=8.0, tau=1.0, standardize=True),
            dict(alpha=18.0, beta=72.0, tau=1.0, loss_weight=1.0),
        ),
        (
            RLDLoss(),
            dict(
                alpha=1.0, beta=8.0, tau_scd=1.0, tau_mcd=4.0, loss_weight=1.0
            ),
        ),
        (
            RLDLoss(standardize=True),
            dict(
                alpha=9.0, beta=72.0, tau_scd=2.0, tau_mcd=2.0, loss_weight=1.0
            ),
        ),
        (
            RLDLoss(beta=0.5, tau_mcd=4.0, loss_weight=0.5, standardize=True),
            dict(
                alpha=9.0, beta=4.5, tau_scd=2.0, tau_mcd=4.0, loss_weight=0.5
            ),
        ),
    ],
    ids=repr,
)
def test_numbers_in_use(module, expected):
    """The attributes are what is computed, and the repr shows them."""
    assert {name: getattr(module, name) for name in expected} == expected
    for name, number in expected.items():
        assert f'{name}={number}' in repr(module)


def test_positive_affine_change_of_a_row(standardized):
    generator = torch.Generator().manual_seed(4)
    student, teacher = STUDENT.double(), TEACHER.double()
    rows = standardized.per_sample(student, teacher, LABELS)
    shift, power = torch.rand(2, 5, 1, generator=generator).double()
    for changed in [
        (student * 1000**power + 50 * shift, teacher),
        (student, teacher * 1000**power - 50 * shift),
    ]:
        torch.testing.assert_close(
            standardized.per_sample(*changed, LABELS), rows, rtol=1e-6, atol=0
        )


@pytest.mark.parametrize('value', [0.0, 0.1, -1e4 / 3])
@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_row_of_equal_logits(standardized, role, value):
    """It counts as zeros, and the student's gets no gradient."""
    batch = dict(student=STUDENT.clone(), teacher=TEACHER.clone())
    batch[role][0] = value
    expected = standardized.expected(**batch, labels=LABELS)
    student, teacher = batch['student'].requires_grad_(), batch['teacher']
    values = standardized.per_sample(student, teacher, LABELS)
    torch.testing.assert_close(values.double(), expected, rtol=1e-5, atol=2e-6)
    grad = torch.autograd.grad(values.sum(), student)[0]
    assert grad.isfinite().all()
    silent = torch.arange(5).eq(0) & (role == 'student')
    assert torch.equal(grad.eq(0).all(1), silent)
