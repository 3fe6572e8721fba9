"""Box L1: row by row, both normalisers, and the teacher as a bound."""

import pytest
import torch

from mmkd_plugin.losses import BoxL1Loss, box_l1_loss
from tests.helpers.shared_checks import SharedChecks


def draw(rows, seed=0):
    """Deltas of student, teacher and truth, and weights."""
    generator = torch.Generator().manual_seed(seed)
    deltas = [torch.randn(rows, 4, generator=generator) for _ in range(3)]
    return *deltas, torch.rand(rows, generator=generator)


class Box:
    module = BoxL1Loss
    numbers: dict = {}
    settings = dict(normalize='weights', bounded=True)

    def arguments(self):
        return self.settings

    def build(self, **changes):
        return BoxL1Loss(**{**self.settings, 'loss_weight': 1.0, **changes})


class TestBoxL1(SharedChecks):
    loss = Box()


def oracle(student, teacher, targets, weights, normalize, bounded):
    total = 0.0
    rows = [x.tolist() for x in (student, teacher, targets, weights)]
    for s, t, y, w in zip(*rows, strict=True):
        gap = sum(abs(a - b) for a, b in zip(s, t, strict=True))
        nearer = sum(abs(a - b) for a, b in zip(t, y)) < sum(
            abs(a - b) for a, b in zip(s, y)
        )
        total += w * gap if nearer or not bounded else 0
    return total / (len(rows[0]) if normalize == 'rows' else 4 * sum(rows[3]))


@pytest.mark.parametrize('bounded', [False, True])
@pytest.mark.parametrize('normalize', ['rows', 'weights'])
def test_value_and_gradient(normalize, bounded):
    case = [x.double() for x in draw(9)]
    loss = BoxL1Loss(normalize=normalize, bounded=bounded, loss_weight=0.5)
    student = case[0].clone().requires_grad_()
    teacher = case[1].clone().requires_grad_()
    value = loss(student, teacher, *case[2:])
    wanted = 0.5 * oracle(*case, normalize, bounded)
    assert value.item() == pytest.approx(wanted, rel=1e-9)
    value.backward()
    assert teacher.grad is None
    nearer = (case[1] - case[2]).abs().sum(1) < (case[0] - case[2]).abs().sum(
        1
    )
    assert 0 < nearer.sum() < 9
    divisor = 9 if normalize == 'rows' else 4 * case[3].sum()
    grad = (case[0] - case[1]).sign() * (0.5 * case[3] / divisor)[:, None]
    if bounded:
        grad = grad * nearer[:, None]
    torch.testing.assert_close(student.grad, grad)


def test_pinned():
    student = torch.tensor([[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 1.0, 0.0]])
    teacher = torch.tensor([[0.0, 0.0, 0.0, 0.0], [3.0, 1.0, 0.5, 0.0]])
    assert box_l1_loss(student, teacher).tolist() == [3.0, 3.5]
    truth = torch.tensor([[0.5, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
    bounded = box_l1_loss(student, teacher, truth, bounded=True)
    assert bounded.tolist() == [3.0, 0.0]


def test_a_row_of_weight_0_takes_no_part():
    student, teacher, truth, weights = draw(6)
    weights[2] = 0
    student[2], teacher[2] = torch.inf, torch.nan
    student.requires_grad_()
    for normalize in ('rows', 'weights'):
        loss = BoxL1Loss(normalize=normalize)
        (grad,) = torch.autograd.grad(
            loss(student, teacher, truth, weights), student
        )
        assert grad[2].eq(0).all() and grad[[0, 1, 3, 4, 5]].ne(0).all()


@pytest.mark.parametrize('rows', [0, 3])
@pytest.mark.parametrize('normalize', ['rows', 'weights'])
def test_no_row_counts(rows, normalize):
    student = torch.randn(rows, 4, requires_grad=True)
    weights = torch.zeros(rows)
    value = BoxL1Loss(normalize=normalize)(
        student, torch.randn(rows, 4), None, weights
    )
    value.backward()
    assert value == 0
    assert student.grad.shape == (rows, 4) and not student.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    student, teacher, _, weights = draw(5)
    student, teacher = (50 * x.to(dtype) for x in (student, teacher))
    loss = BoxL1Loss()
    value = loss(student, teacher, None, weights)
    assert value.dtype == torch.float32
    assert value == loss(student.float(), teacher.float(), None, weights)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(normalize='mean'), '`normalize` to be one of rows, weights'),
        (dict(bounded=1), '`bounded` to be True or False'),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        BoxL1Loss(**arguments)


@pytest.mark.parametrize(
    'student, teacher', [((3, 5), (3, 5)), ((3, 4), (2, 4)), ((12,), (3, 4))]
)
def test_other_shapes(student, teacher):
    with pytest.raises(ValueError, match=r'\(N, 4\) but got \(.*RoIBoxTap'):
        box_l1_loss(torch.zeros(student), torch.zeros(teacher))


def test_bound_without_truth():
    with pytest.raises(TypeError, match="rows='label' in the RoIBoxTap"):
        box_l1_loss(torch.zeros(2, 4), torch.zeros(2, 4), bounded=True)
