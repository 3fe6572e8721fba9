"""CKD: its formula, pinned values, the floor, rows without direction."""

import functools
import math

import pytest
import torch
from torch import distributed as dist

from mmkd_plugin.distill.diagnostics import asked
from mmkd_plugin.losses import CKDLoss, ckd_loss
from tests.helpers.group import train_layer
from tests.helpers.loss_cases import LABELS, PINNED, STUDENT, TEACHER, draw
from tests.helpers.loss_checks import Loss, LossChecks
from tests.helpers.loss_oracles import exactly


@exactly
def oracle(student, teacher, labels, tau):
    def unit(row):
        length = sum(z * z for z in row).sqrt()
        return [z / length if length else z for z in row]

    def dot(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    student = [unit(row) for row in student]
    teacher = [unit(row) for row in teacher]
    values = []
    for i in range(len(teacher)):
        exps = [(dot(teacher[i], s) / tau).exp() for s in student]
        values.append(-(exps[i] / sum(exps)).ln())
    return values


class TestCKD(LossChecks):
    loss = Loss(
        ckd_loss,
        CKDLoss,
        oracle,
        dict(tau=0.5),
        in_shares=dict(gather=True),
    )


@pytest.mark.parametrize(
    'tau, expected',
    [
        (1.0, [0.444254727, 0.912699331, 0.823427838]),
        (2.0, [0.718632249, 0.999683465, 0.936305136]),
    ],
)
def test_pinned(tau, expected):
    student, teacher, _ = PINNED
    torch.testing.assert_close(
        ckd_loss(student, teacher, tau=tau), torch.tensor(expected)
    )


@pytest.mark.parametrize('rows', [2, 64, 512])
def test_floor(rows):
    logits = torch.eye(rows)
    value = CKDLoss(tau=1.0, loss_weight=1.0)(5 * logits, logits, None)
    assert value.item() == pytest.approx(
        math.log(1 + (rows - 1) / math.e), rel=1e-6
    )


@pytest.mark.parametrize('rows', [2, 64, 512])
def test_no_information(rows):
    student = torch.tensor([[1.0, 2.0, 3.0]]).expand(rows, -1)
    teacher = torch.randn(rows, 3)
    value = CKDLoss(tau=1.0, loss_weight=1.0)(student, teacher, None)
    assert value.item() == pytest.approx(math.log(rows), rel=1e-6)


def test_one_row():
    student = STUDENT[:1].clone().requires_grad_()
    value = CKDLoss(tau=1.0, loss_weight=1.0)(student, TEACHER[:1], LABELS[:1])
    value.backward()
    assert value.item() == 0
    assert student.grad.eq(0).all()


def test_length_of_the_rows_does_not_matter():
    lengths = torch.tensor([[1e-3], [1.0], [2.0], [50.0], [1e3]])
    torch.testing.assert_close(
        ckd_loss(STUDENT * lengths, TEACHER / lengths, tau=1.0),
        ckd_loss(STUDENT, TEACHER, tau=1.0),
    )


def test_anchor_is_the_teacher():
    one_way = ckd_loss(STUDENT, TEACHER, tau=1.0)
    other_way = ckd_loss(TEACHER, STUDENT, tau=1.0)
    assert not torch.allclose(one_way, other_way)


def test_invalid_rows_are_no_negatives():
    valid = torch.tensor([True, False, True, True, False])
    value = ckd_loss(STUDENT, TEACHER, tau=1.0, valid=valid)
    expected = ckd_loss(STUDENT[valid], TEACHER[valid], tau=1.0)
    torch.testing.assert_close(value[valid], expected)
    assert value[~valid].eq(0).all()
    everyone = ckd_loss(STUDENT, TEACHER, tau=1.0)
    assert everyone[valid].gt(expected).all()


def test_weight_belongs_to_the_anchor():
    """A small weight makes a row count less, its negatives as much."""
    weights = torch.tensor([1.0, 1.0, 0.25, 1.0, 1.0])
    rows = ckd_loss(STUDENT, TEACHER, tau=1.0)
    value = CKDLoss(tau=1.0, loss_weight=1.0)(
        STUDENT, TEACHER, LABELS, weights
    )
    torch.testing.assert_close(value, (weights * rows).sum() / 5)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('whose', ['student', 'teacher', 'both'])
def test_rows_of_zeros_have_similarity_zero(dtype, whose):
    axes = torch.eye(4, dtype=dtype)
    student, teacher = axes.clone(), axes.clone()
    if whose != 'teacher':
        student[1] = 0
    if whose != 'student':
        teacher[1] = 0
    student.requires_grad_()
    value = ckd_loss(student, teacher, tau=1.0)
    value.sum().backward()
    floor = math.log(1 + 3 / math.e)
    for row in (0, 2, 3):
        assert value[row].item() == pytest.approx(floor, rel=1e-6)
    assert value[1].item() == pytest.approx(math.log(4), rel=1e-6)
    assert student.grad.isfinite().all()
    if whose != 'teacher':
        assert student.grad[1].eq(0).all()


def test_a_head_that_gives_only_zeros():
    student = torch.zeros(4, 3, requires_grad=True)
    value = CKDLoss(tau=1.0, loss_weight=1.0)(student, torch.randn(4, 3), None)
    value.backward()
    assert value.item() == pytest.approx(math.log(4))
    assert student.grad.eq(0).all()


def test_no_gap_is_too_wide_for_a_small_tau():
    student = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    value = ckd_loss(student, -student.detach(), tau=1e-4)
    value.sum().backward()
    torch.testing.assert_close(value.detach(), torch.full((2,), 2e4))
    assert student.grad.isfinite().all()


def test_further_negatives():
    rows = ckd_loss(STUDENT, TEACHER, tau=0.5)
    value = ckd_loss(STUDENT[:2], TEACHER[:2], tau=0.5, negatives=STUDENT[2:])
    torch.testing.assert_close(value, rows[:2])
    valid = torch.tensor([True, False])
    value = ckd_loss(
        STUDENT[:2],
        TEACHER[:2],
        tau=0.5,
        valid=valid,
        negatives=STUDENT[2:],
    )
    keep = torch.tensor([0, 2, 3, 4])
    expected = ckd_loss(STUDENT[keep], TEACHER[keep], tau=0.5)[0]
    torch.testing.assert_close(
        value, torch.stack([expected, value.new_zeros(())])
    )


@pytest.mark.parametrize('weights', [None, torch.arange(5.0)])
def test_gathering_in_one_process_changes_nothing(weights):
    results = []
    for gather in (False, True):
        student = STUDENT.clone().requires_grad_()
        loss = CKDLoss(tau=0.5, gather=gather, loss_weight=1.0)
        value = loss(student, TEACHER, LABELS, weights)
        value.backward()
        results.append((value.detach(), student.grad))
    torch.testing.assert_close(*results)


def test_rows_of_the_same_class_can_be_left_out():
    """Each sample is compared with itself and with the other classes."""
    labels = torch.tensor([0, 2, 0, 1, 2])
    value = ckd_loss(STUDENT, TEACHER, tau=0.5, labels=labels)
    for i, label in enumerate(labels):
        kept = (labels != label) | (torch.arange(5) == i)
        place = int(kept[:i].sum())
        alone = ckd_loss(STUDENT[kept], TEACHER[kept], tau=0.5)
        torch.testing.assert_close(value[i], alone[place])
    loss = CKDLoss(tau=0.5, same_class_negatives=False, loss_weight=1.0)
    torch.testing.assert_close(loss(STUDENT, TEACHER, labels), value.mean())
    one_class = torch.zeros(5, dtype=torch.int64)
    assert loss(STUDENT, TEACHER, one_class).item() == 0


def test_classes_of_further_negatives():
    labels = torch.tensor([0, 2, 0, 1, 2])
    value = ckd_loss(
        STUDENT[:3],
        TEACHER[:3],
        tau=1.0,
        negatives=STUDENT[3:],
        labels=labels,
    )
    whole = ckd_loss(STUDENT, TEACHER, tau=1.0, labels=labels)
    torch.testing.assert_close(value, whole[:3])


@pytest.mark.parametrize(
    'labels, error',
    [(torch.eye(5), TypeError), (None, TypeError), (LABELS[:4], ValueError)],
)
def test_classes_are_needed_to_tell_them_apart(labels, error):
    loss = CKDLoss(same_class_negatives=False, tau=1.0, loss_weight=1.0)
    with pytest.raises(error, match='class ids'):
        loss(STUDENT, TEACHER, labels)
    if error is TypeError:
        assert CKDLoss(tau=1.0, loss_weight=1.0)(
            STUDENT, TEACHER, labels
        ).isfinite()


def gap_of(student, teacher, labels=None, weights=None, **changes):
    """Value of a loss, and the gap that it tells a distiller."""
    loss = CKDLoss(**{**dict(tau=0.5, loss_weight=3.0), **changes})
    with asked(loss) as found:
        value = loss(student, teacher, labels, weights)
    return value, found[0]['gap']


def test_gap_is_1_for_no_information_and_more_for_worse():
    for tau in (0.1, 1.0, 10.0):
        _, gap = gap_of(torch.ones_like(TEACHER), TEACHER, tau=tau)
        assert gap.item() == pytest.approx(1, abs=1e-3)
        _, gap = gap_of(-TEACHER, TEACHER, tau=tau)
        assert gap > 1


@pytest.mark.parametrize('tau', [0.05, 1.0, 4.0])
@pytest.mark.parametrize('shift', [0.0, 3.0], ids=['around', 'one-sided'])
def test_no_student_is_below_0_and_a_trained_one_is_near_it(tau, shift):
    teacher = draw(64, 7, seed=5)[1] + shift
    student = draw(64, 7, seed=6)[0].requires_grad_()
    weights = torch.ones(64)
    weights[:8] = torch.tensor([0, 0, 0.2, 0.5, 2, 3, 4, 5])
    optimizer = torch.optim.Adam([student], lr=0.05)
    for _ in range(200):
        value, gap = gap_of(student, teacher, None, weights, tau=tau)
        assert gap >= 0
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    if tau >= 1:
        assert gap < 0.2


@pytest.mark.parametrize('weights', [None, torch.tensor([1.0, 0, 2, 0.5, 1])])
@pytest.mark.parametrize('tau', [0.05, 1.0])
def test_gap_equals_its_formula(weights, tau):
    value, gap = gap_of(STUDENT, TEACHER, LABELS, weights, tau=tau)
    factors = [1.0] * 5 if weights is None else weights.tolist()
    rows = [
        w * row / row.norm()
        for row, w in zip(TEACHER.double(), factors, strict=True)
        if w
    ]
    mean = sum(rows) / len(rows)
    spread = sum((row - mean).norm() for row in rows) / len(rows)
    chance = sum(factors) / len(rows) * math.log(len(rows))
    wanted = 1 - (chance - value.double() / 3) / min(chance, spread / tau)
    torch.testing.assert_close(gap.double(), wanted)


def test_no_gap_where_the_number_of_negatives_varies():
    loss = CKDLoss(tau=0.5, loss_weight=1.0, same_class_negatives=False)
    with asked(loss) as found:
        loss(STUDENT, TEACHER, LABELS)
    assert found == []


def test_gap_needs_something_to_tell_apart():
    one, alike = TEACHER[:1], TEACHER[:1].expand(5, -1)
    for teacher in (one, alike, one[:0]):
        _, gap = gap_of(STUDENT[: len(teacher)], teacher)
        assert gap.isnan()
    _, gap = gap_of(STUDENT, TEACHER, weights=torch.zeros(5))
    assert gap.isnan()


def test_asking_changes_no_value_and_no_gradient():
    student = STUDENT.clone().requires_grad_()
    value, gap = gap_of(student, TEACHER)
    value.backward()
    twin = STUDENT.clone().requires_grad_()
    expected = CKDLoss(tau=0.5, loss_weight=3.0)(twin, TEACHER, None)
    expected.backward()
    assert torch.equal(value, expected)
    assert torch.equal(student.grad, twin.grad)
    assert not gap.requires_grad


# Bodies of each of four processes.


def gap_of_the_whole():
    student, teacher, _ = draw(20, 7, seed=2)
    weights = torch.tensor([1.0, 0.0, 2.0, 0.5, 1.0] * 4)
    ends = [0, 9, 9, 16, 20]
    own = slice(*ends[dist.get_rank() : dist.get_rank() + 2])
    for weight in (None, weights):
        part, whole = (
            gap_of(
                student[rows],
                teacher[rows],
                None,
                None if weight is None else weight[rows],
                gather=gather,
            )
            for rows, gather in ((own, True), (slice(None), False))
        )
        torch.testing.assert_close(part, whole)


def ragged_shares():
    inputs = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    _, teacher, labels = draw(20, 7, seed=2)
    weights = torch.tensor([1.0, 0.0, 2.0, 0.5, 1.0] * 4)
    for counts in ([5, 0, 3, 1], [0, 0, 2, 0], [1, 1, 1, 1], [9, 5, 4, 2]):
        total = sum(counts)
        start = sum(counts[: dist.get_rank()])
        own = slice(start, start + counts[dist.get_rank()])
        for weight in (None, weights, weights * 0):
            batch = (inputs, teacher, labels)
            whole = [x[:total] for x in batch]
            parts = [x[own] for x in batch]
            w = (
                (None, None)
                if weight is None
                else (weight[:total], weight[own])
            )
            for same in (True, False):
                loss = functools.partial(
                    CKDLoss,
                    tau=0.5,
                    loss_weight=0.3,
                    same_class_negatives=same,
                )
                found = train_layer(loss(gather=True), *parts, w[1], wrap=True)
                expected = train_layer(loss(), *whole, w[0], wrap=False)
                torch.testing.assert_close(found, expected)


def nothing_at_all():
    student = torch.zeros(0, 7, requires_grad=True)
    value = CKDLoss(gather=True, tau=1.0, loss_weight=1.0)(
        student, student.detach(), None
    )
    value.backward()
    assert value.item() == 0
    assert student.grad.shape == (0, 7)


def half_precision():
    student, teacher, labels = draw(8, 7, seed=3)
    own = slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2)
    part = student[own].half().requires_grad_()
    CKDLoss(gather=True, tau=1.0, loss_weight=1.0)(
        part, teacher[own].half(), None
    ).backward()
    whole = student.half().requires_grad_()
    CKDLoss(tau=1.0, loss_weight=1.0)(whole, teacher.half(), None).backward()
    # Of a sum over four processes, where DDP takes a mean.
    torch.testing.assert_close(part.grad, 4 * whole.grad[own])


def not_finite():
    """So all leave the term out, or none."""
    student, teacher, _ = draw(3, 7, seed=dist.get_rank())
    if dist.get_rank() == 2:
        teacher[0] = torch.nan
    value = CKDLoss(gather=True, tau=1.0, loss_weight=1.0)(
        student.requires_grad_(), teacher, None
    )
    assert value.isnan()


@pytest.mark.slow
@pytest.mark.parametrize(
    'check',
    [
        ragged_shares,
        gap_of_the_whole,
        nothing_at_all,
        half_precision,
        not_finite,
    ],
)
def test_gathering_in_four_processes(group, check):
    group(4).run(check)
