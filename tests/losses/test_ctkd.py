"""CTKD: KD at a trained temperature, which raises the loss."""

import math

import pytest
import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mmkd_plugin.losses import CTKDLoss, ctkd_loss, kd_loss
from mmkd_plugin.losses.ctkd import reversal
from tests.helpers.group import everywhere
from tests.helpers.loss_cases import LABELS, PINNED, STUDENT, TEACHER, draw
from tests.helpers.loss_checks import Loss, LossChecks
from tests.helpers.loss_oracles import exactly, kl, softmax

# At a low temperature, 1.95: tau^2 times a divergence that is near 0 has few
# digits in float32.
THETA = -3.0
TAU = 1 + 20 * torch.tensor(THETA).sigmoid()
# A weight of the reversed gradient that is -1.
DONE = dict(warmup_steps=1, loss_weight=1.0)


class ColdLoss(Loss):
    """Of a module that has been trained."""

    def build(self, **changes):
        module = super().build(**changes)
        torch.nn.init.constant_(module.theta, THETA)
        return module


@exactly
def at_tau(student, teacher, labels, tau):
    return [
        tau**2 * kl(softmax(t, tau), softmax(s, tau))
        for s, t in zip(student, teacher, strict=True)
    ]


def oracle(student, teacher, labels, warmup_steps):
    return at_tau(student, teacher, labels, tau=TAU.item())


def function(student, teacher, warmup_steps):
    return ctkd_loss(student, teacher, tau=TAU)


class TestCTKD(LossChecks):
    loss = ColdLoss(
        function, CTKDLoss, oracle, {}, settings=dict(warmup_steps=10)
    )

    def test_numbers_that_papers_choose_differently_have_no_default(self):
        message = "required .* 'warmup_steps' and 'loss_weight'"
        with pytest.raises(TypeError, match=message):
            CTKDLoss()


def test_temperature_at_the_start():
    loss = CTKDLoss(**DONE)
    assert loss.tau().item() == pytest.approx(15.6211716, abs=1e-6)
    assert [*loss.state_dict()] == ['theta', 'steps']
    assert loss.theta.shape == () and loss.theta.dtype == torch.float32


@pytest.mark.parametrize(
    'theta, tau', [(-200.0, 1.0), (0.0, 11.0), (200.0, 21.0)]
)
def test_range_of_the_temperature(theta, tau):
    loss = CTKDLoss(**DONE)
    torch.nn.init.constant_(loss.theta, theta)
    assert loss.tau().item() == tau
    value = loss(STUDENT, TEACHER, None)
    value.backward()
    assert value.isfinite() and loss.theta.grad.isfinite()


@pytest.mark.parametrize(
    'step, expected',
    [(0, 0), (782, -0.0244717), (3910, -0.5), (7820, -1), (9000, -1)],
)
def test_factor_of_the_gradient(step, expected):
    """After the first of ten epochs of 782 steps, and later."""
    found = reversal(torch.tensor(step), 7820).item()
    assert found == pytest.approx(expected, abs=1e-6)


def gradient_of_theta(loss):
    loss.theta.grad = None
    loss(STUDENT, TEACHER, None).backward()
    return loss.theta.grad.item()


def slope(theta):
    """Of the loss along theta, by a central difference."""
    values = [
        kd_loss(
            STUDENT.double(),
            TEACHER.double(),
            tau=1 + 20 / (1 + math.exp(-theta - gap)),
        ).mean()
        for gap in (-1e-4, 1e-4)
    ]
    return ((values[1] - values[0]) / 2e-4).item()


def test_gradient_of_the_temperature_is_reversed():
    """By a share that grows with the steps."""
    loss = CTKDLoss(warmup_steps=4, loss_weight=1.0)
    assert abs(slope(1.0)) > 0.01
    for step in range(1, 7):
        factor = -(1 - math.cos(math.pi * min(step, 4) / 4)) / 2
        expected = factor * slope(1.0)
        assert gradient_of_theta(loss) == pytest.approx(expected, rel=1e-3)
        assert loss.steps == step


@pytest.mark.parametrize('sign', [1, -1])
def test_optimizer_raises_the_loss_by_the_temperature(sign):
    """Which grows where the loss grows with it, and shrinks elsewhere."""
    student = (3 if sign > 0 else 0.1) * TEACHER
    loss = CTKDLoss(**DONE)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    values, taus = [], []
    for _ in range(5):
        optimizer.zero_grad()
        value = loss(student, TEACHER, None)
        value.backward()
        optimizer.step()
        values.append(value.item())
        taus.append(sign * loss.tau().item())
    assert values == sorted(values) and values[0] < values[-1]
    assert taus == sorted(taus) and taus[0] < taus[-1]


def test_no_gradient_yet_is_not_no_gradient():
    """DistributedDataParallel waits for one from the first step on."""
    loss = CTKDLoss(warmup_steps=10**9, loss_weight=1.0)
    assert gradient_of_theta(loss) == 0


@pytest.mark.parametrize('theta', [-3.0, 1.0, 2.0])
def test_student_learns_as_by_kd_at_that_temperature(theta):
    loss = CTKDLoss(**DONE)
    torch.nn.init.constant_(loss.theta, theta)
    grads = []
    for value in (
        lambda z: loss(z, TEACHER, None),
        lambda z: kd_loss(z, TEACHER, tau=loss.tau().item()).mean(),
    ):
        student = STUDENT.clone().requires_grad_()
        grads.append(torch.autograd.grad(value(student), student)[0])
    assert grads[0].ne(0).any()
    torch.testing.assert_close(*grads)


def test_pinned():
    student, teacher, _ = PINNED
    value = ctkd_loss(student, teacher, tau=torch.tensor(4.0))
    expected = torch.tensor([0.388163523, 0.702083019, 1.296154666])
    torch.testing.assert_close(value, expected)


def test_steps_are_counted_while_training():
    loss = CTKDLoss(**DONE).eval()
    loss(STUDENT, TEACHER, None)
    assert loss.steps == 0
    loss.train()(STUDENT, TEACHER, None)
    assert loss.steps == 1


def trained(loss, steps):
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1, momentum=0.9)
    for seed in range(steps):
        optimizer.zero_grad()
        student, teacher, _ = draw(4, 7, seed)
        loss(student, teacher, None).backward()
        optimizer.step()
    return loss


def test_state_can_be_stored():
    whole = trained(CTKDLoss(warmup_steps=3, loss_weight=1.0), 5)
    other = CTKDLoss(warmup_steps=3, loss_weight=1.0)
    other.load_state_dict(whole.state_dict())
    assert whole.steps == other.steps == 5 and whole.theta != 1
    assert gradient_of_theta(other) == gradient_of_theta(whole)


@pytest.mark.parametrize('value', [0, -1, 2.5, '10', True])
def test_steps_out_of_range(value):
    message = '`warmup_steps` to be an integer >= 1 but got'
    with pytest.raises(ValueError, match=message):
        CTKDLoss(warmup_steps=value, loss_weight=1.0)


def train_on_ranks():
    """Each with other logits, one with none."""
    loss = CTKDLoss(**DONE)
    module = DistributedDataParallel(loss)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    rank = dist.get_rank()
    for step in range(3):
        optimizer.zero_grad()
        rows = 0 if rank == step % 2 else 4
        student, teacher, _ = draw(rows, 7, seed=5 * step + rank)
        module(student.requires_grad_(), teacher, LABELS[:0]).backward()
        optimizer.step()
    first, second = everywhere((loss.theta.item(), loss.steps.item()))
    assert first == second and first[0] != 1 and first[1] == 3


@pytest.mark.slow
def test_two_processes(group):
    group(2).run(train_on_ranks)
