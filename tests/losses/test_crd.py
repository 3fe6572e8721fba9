"""CRD: its formula, banks, Z and negatives; equal in all processes."""

import copy
import math
from typing import NamedTuple

import pytest
import torch
from torch import distributed as dist

from mmkd_plugin.losses import CRDLoss, crd_loss
from tests.helpers.group import everywhere
from tests.helpers.shared_checks import SharedChecks

CLASSES = torch.arange(30) % 5
WIDTHS = dict(student_channels=[6], teacher_channels=[7])
SETTINGS = dict(dim=4, negatives=11, momentum=0.25, num_samples=30)


class VectorLoss(NamedTuple):
    """A loss of pooled vectors."""

    module: type = CRDLoss
    numbers: dict = dict(tau=0.3)
    settings: dict = SETTINGS

    def arguments(self):
        return {'loss_weight': 1.0, **self.numbers, **self.settings, **WIDTHS}

    def build(self, **changes):
        return self.module(**{**self.arguments(), **changes})


class TestCRD(SharedChecks):
    loss = VectorLoss()


def build(seed=0, **changes):
    torch.manual_seed(seed)
    loss = TestCRD.loss.build(**changes)
    loss.see_dataset(CLASSES)
    return loss


def batch(*indices, seed=0):
    """Vectors of both, and what the tap gives as labels."""
    generator = torch.Generator().manual_seed(seed)
    indices = torch.tensor(indices, dtype=torch.int64)
    student = torch.randn(len(indices), 6, generator=generator)
    teacher = torch.randn(len(indices), 7, generator=generator)
    return student, teacher, (CLASSES[indices], indices)


def step(loss, reading, weights=None, seed=5):
    torch.manual_seed(seed)
    return loss(*reading, weights)


def oracle(loss, reading, seed=5):
    """The formula, and the banks afterwards, in float64, one by one."""
    student, teacher, (_, indices) = reading
    torch.manual_seed(seed)
    keys = torch.rand(len(indices), loss.num_samples)
    state = {n: x.double() for n, x in loss.state_dict().items()}
    vectors, banks = {}, {}
    for name, rows in (('student', student), ('teacher', teacher)):
        rows = rows.double() @ state[f'{name}_map.weight'].T
        rows = rows + state[f'{name}_map.bias']
        vectors[name] = rows / rows.norm(dim=1, keepdim=True)
        banks[name] = state[f'{name}_bank']
    c = loss.negatives / loss.num_samples
    total = 0
    log_z = []
    for name, other in (('student', 'teacher'), ('teacher', 'student')):
        h = torch.zeros(len(indices), 1 + loss.negatives).double()
        for n, i in enumerate(indices.tolist()):
            others = [j for j in range(30) if CLASSES[j] != CLASSES[i]]
            others.sort(key=lambda j: -keys[n, j])
            for k, j in enumerate([i, *others[: loss.negatives]]):
                cosine = (vectors[name][n] * banks[other][j]).sum()
                h[n, k] = (cosine / loss.tau).exp()
        z = state['log_z'][len(log_z)].exp()
        if z == 1:
            z = h.mean() * 30
        log_z.append(z.log())
        h = h / z
        rows = (h[:, 0] / (h[:, 0] + c + 1e-7)).log()
        rows = rows + (c / (h[:, 1:] + c + 1e-7)).log().sum(1)
        total = total - rows.mean()
    for name in banks:
        for n, i in enumerate(indices.tolist()):
            old = banks[name][i]
            mixed = (
                loss.momentum * old + (1 - loss.momentum) * vectors[name][n]
            )
            banks[name][i] = mixed / mixed.norm()
    return total, banks, torch.stack(log_z)


def assert_as_oracle(loss, reading):
    value, banks, log_z = oracle(loss, reading)
    torch.testing.assert_close(
        step(loss, reading).double(), value, rtol=1e-5, atol=1e-5
    )
    for name, bank in banks.items():
        torch.testing.assert_close(
            getattr(loss, f'{name}_bank').double(), bank, rtol=0, atol=1e-6
        )
    torch.testing.assert_close(loss.log_z.double(), log_z, rtol=0, atol=1e-5)


def test_steps_equal_the_oracle():
    loss = build()
    assert_as_oracle(loss, batch(3, 17, 4, 28))
    first = loss.log_z.clone()
    assert_as_oracle(loss, batch(29, 3, 0, seed=1))
    assert_as_oracle(loss, batch(8, seed=2))
    assert loss.log_z.equal(first)


def test_number_of_parameters():
    """Of ResNet-32x4 and ResNet-8x4."""
    loss = CRDLoss(
        dim=128,
        negatives=16384,
        tau=0.07,
        momentum=0.5,
        num_samples=50_000,
        loss_weight=0.8,
        student_channels=[256],
        teacher_channels=[256],
    )
    assert sum(p.numel() for p in loss.parameters()) == 65_792
    banks = {n: tuple(x.shape) for n, x in loss.named_buffers()}
    assert banks == dict(
        student_bank=(50_000, 128), teacher_bank=(50_000, 128), log_z=(2,)
    )


@pytest.mark.parametrize('tau', [0.0001, 0.07, 10000.0])
def test_gradient(tau):
    """Of both vectors' maps and of the student; none of the teacher."""
    loss = build(tau=tau)
    student, teacher, labels = batch(1, 2, 3)
    student.requires_grad_()
    teacher.requires_grad_()
    value = step(loss, (student, teacher, labels))
    value.backward()
    assert value.isfinite() and teacher.grad is None
    for tensor in (student, *loss.parameters()):
        assert tensor.grad.isfinite().all()
        assert tensor.grad.ne(0).any() or tau != 0.07


def test_gradcheck():
    loss = build().double()
    student, teacher, labels = batch(1, 2, 3)
    step(loss, (student, teacher, labels))

    def value(rows):
        return step(copy.deepcopy(loss), (rows, teacher, labels))

    torch.autograd.gradcheck(value, student.double().requires_grad_())


def test_half_precision_vectors():
    student, teacher, labels = batch(1, 2, 3)
    half = student.half(), teacher.half(), labels
    wide = student.half().float(), teacher.half().float(), labels
    found, expected = (step(build(), reading) for reading in (half, wide))
    assert found.dtype == torch.float32 and found.equal(expected)


def test_loss_weight():
    found = step(build(loss_weight=0.8), batch(1, 2))
    torch.testing.assert_close(found, 0.8 * step(build(), batch(1, 2)))


def test_scores_far_apart_are_finite():
    scores = torch.tensor([[-1e4, 1e4], [1e4, -1e4]], requires_grad=True)
    losses = crd_loss(scores, samples=2, log_z=3.0)
    losses.sum().backward()
    assert losses[0] > 1e4 and losses[1].abs() < 1e-5
    assert scores.grad.isfinite().all()


def test_certain_and_chance():
    """h = c for all: log 2 each; the positive alone: 0."""
    even = crd_loss(torch.zeros(1, 6), samples=10, log_z=math.log(2))
    assert even.item() == pytest.approx(6 * math.log(2), abs=1e-5)


def test_sample_of_weight_0_takes_no_part():
    """Neither in the value, nor in Z, nor in the bank."""
    three, two = batch(1, 2, 3), batch(1, 2)
    three = (
        torch.cat([two[0], torch.full((1, 6), torch.nan)]),
        torch.cat([two[1], torch.full((1, 7), torch.inf)]),
        three[2],
    )
    one, other = build(), build()
    value = step(one, two)
    found = step(other, three, torch.tensor([1.0, 1.0, 0.0]))
    # The numbers drawn for the first two are the same.
    torch.testing.assert_close(found, value)
    torch.testing.assert_close(other.log_z, one.log_z)
    for name in ('student_bank', 'teacher_bank'):
        torch.testing.assert_close(getattr(other, name), getattr(one, name))


def test_empty_batch():
    loss = build()
    before = copy.deepcopy(loss.state_dict())
    student, teacher, labels = batch()
    value = step(loss, (student.requires_grad_(), teacher, labels))
    value.backward()
    assert value == 0
    assert all(p.grad.eq(0).all() for p in loss.parameters())
    assert all(before[n].equal(x) for n, x in loss.state_dict().items())
    # Z is that of the first step that has samples.
    assert_as_oracle(loss, batch(4, 5))


def test_vectors_of_zeros():
    loss = build()
    for layer in (loss.student_map, loss.teacher_map):
        torch.nn.init.zeros_(layer.bias)
    student, teacher, labels = batch(1, 2)
    student = (0 * student).requires_grad_()
    value = step(loss, (student, 0 * teacher, labels))
    value.backward()
    assert value.isfinite() and student.grad.eq(0).all()
    assert loss.student_bank.isfinite().all()


def test_goes_on_from_its_state():
    """With the banks and Z, as if it had not been stopped."""
    loss, other = build(), build(seed=1)
    step(loss, batch(1, 2, 3))
    other.load_state_dict(loss.state_dict())
    reading = batch(4, 1, seed=2)
    assert step(other, reading, seed=6).equal(step(loss, reading, seed=6))
    for name, value in loss.state_dict().items():
        assert other.state_dict()[name].equal(value)


def test_classes_of_the_training_set_are_not_saved():
    assert 'classes' not in build().state_dict()


def test_not_told_the_classes():
    with pytest.raises(RuntimeError, match=r'call its `see_dataset\(labels'):
        step(TestCRD.loss.build(), batch(1))


def test_other_number_of_samples():
    message = '`num_samples` of CRDLoss to be 20, .*, but got 30'
    with pytest.raises(ValueError, match=message):
        TestCRD.loss.build().see_dataset(CLASSES[:20])


def test_too_many_negatives():
    message = '`negatives` of CRDLoss to be at most 24, .*, but got 25'
    with pytest.raises(ValueError, match=message):
        build(negatives=25)
    build(negatives=24)


@pytest.mark.parametrize('shift', [1, 100])
def test_indices_of_another_data_set(shift):
    student, teacher, (classes, indices) = batch(1, 2)
    reading = student, teacher, (classes, indices + shift)
    with pytest.raises(RuntimeError, match='position in the data set'):
        step(build(), reading)


def test_mixed_labels():
    student, teacher, (_, indices) = batch(1, 2)
    with pytest.raises(TypeError, match='Mixup, CutMix.*KDLoss'):
        step(build(), (student, teacher, (torch.rand(2, 5), indices)))


@pytest.mark.parametrize('role, length', [('student', 6), ('teacher', 7)])
def test_vectors_of_another_length(role, length):
    loss = build(**{f'{role}_channels': [9]})
    message = (
        f'of the {role} of length 9, as `{role}_channels` .* got {length}'
    )
    with pytest.raises(ValueError, match=message):
        step(loss, batch(1))


@pytest.mark.parametrize(
    'name, value, message',
    [
        ('dim', 0, '`dim` to be an integer >= 1'),
        ('negatives', 0, '`negatives` to be an integer >= 1'),
        ('num_samples', 1, '`num_samples` to be an integer >= 2'),
        ('momentum', 1.5, '`momentum` to be a number from 0 to 1'),
        ('student_channels', [0], '`student_channels` to be an integer >= 1'),
        ('teacher_channels', [4, 4], '`teacher_channels` .* one number'),
    ],
)
def test_arguments_out_of_range(name, value, message):
    with pytest.raises(ValueError, match=message):
        TestCRD.loss.build(**{name: value})


def halves():
    """In each of two processes: equal banks, those of the whole batch."""
    rank = dist.get_rank()
    loss, whole = build(), build()
    # One process has fewer images; 7 is in both.
    parts = [batch(3, 7, 12), batch(7, seed=1)]
    step(loss, parts[rank], seed=rank)
    student, teacher, labels = zip(*parts)
    for name, bank in oracle(
        whole,
        (
            torch.cat(student),
            torch.cat(teacher),
            tuple(torch.cat(x) for x in zip(*labels)),
        ),
    )[1].items():
        found = getattr(loss, f'{name}_bank')
        first, second = everywhere(found)
        assert first.equal(second)
        others = [i for i in range(30) if i != 7]
        torch.testing.assert_close(
            found[others].double(), bank[others], rtol=0, atol=1e-6
        )
    first, second = everywhere(loss.log_z)
    assert first.equal(second) and first.ne(0).all()
    # The row of the second process, which comes last, is that of 7.
    alone = build()
    _, banks, _ = oracle(alone, parts[1])
    torch.testing.assert_close(
        loss.student_bank[7].double(), banks['student'][7], rtol=0, atol=1e-6
    )
    value = step(loss, batch() if rank else batch(1), seed=1)
    assert (value == 0) == bool(rank)
    first, second = everywhere(loss.student_bank)
    assert first.equal(second)


@pytest.mark.slow
def test_two_processes_have_equal_banks(group):
    group(2).run(halves)
