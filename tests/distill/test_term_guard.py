"""What the hook checks while it trains."""

import logging
import math

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmkd_plugin.distill.stages import stages_of
from mmkd_plugin.distill.term_guard import TermGuard
from mmkd_plugin.losses import BinaryDKDLoss, KDLoss
from tests.helpers import tiny
from tests.helpers.detector_runs import hook_cfg, make_runner


@MODELS.register_module()
class BadLoss(nn.Module):
    """A loss that is bad in a chosen way from a chosen call on."""

    def __init__(self, how, start=0):
        super().__init__()
        self.how = how
        self.start = start
        self.calls = 0

    def forward(self, student, teacher, labels, weights=None):
        self.calls += 1
        if self.calls <= self.start:
            return student.square().mean()
        return {
            'nan': lambda: (student * math.nan).mean(),
            'log0': lambda: (student * 0).log().mean(),
            'detached': lambda: student.detach().square().mean(),
            'flat': lambda: (student * 0).sum(),
        }[self.how]()


@pytest.fixture
def teacher(tmp_path):
    return tiny.save_teacher(tmp_path / 'teacher.pth')


def run(tmp_path, teacher, loss, **kwargs):
    hook = hook_cfg(teacher, losses=dict(loss_bad=loss), **kwargs)
    runner = make_runner(tmp_path, [hook])
    runner.train()
    return runner


@pytest.mark.slow
@pytest.mark.parametrize('how', ['detached', 'flat'])
def test_term_without_gradient_stops_the_first_step(tmp_path, teacher, how):
    message = r'loss_bad is .* at the first step on rank 0.*does not train'
    with pytest.raises(RuntimeError, match=message):
        run(tmp_path, teacher, dict(type='BadLoss', how=how))


@pytest.mark.slow
def test_weight_of_zero_is_no_fault(tmp_path, teacher):
    runner = run(
        tmp_path, teacher, dict(type='KDLoss', loss_weight=0.0, tau=1.0)
    )
    assert runner.iter == 4


@pytest.mark.slow
@pytest.mark.parametrize('how', ['nan', 'log0'])
def test_nonfinite_term_raises_before_saving(tmp_path, teacher, how):
    message = (
        r'loss_bad is (nan|-inf) at iteration 3 on rank 0, the student.s '
        r'values lie in \[.*\] and the teacher.s values lie in \[.*skip'
    )
    with pytest.raises(RuntimeError, match=message):
        run(tmp_path, teacher, dict(type='BadLoss', how=how, start=2))
    assert not list(tmp_path.glob('work/*.pth'))


@pytest.mark.slow
@pytest.mark.parametrize('how', ['nan', 'log0'])
def test_nonfinite_term_is_skipped(tmp_path, teacher, how, caplog):
    loss = dict(type='BadLoss', how=how, start=2)
    with caplog.at_level(logging.WARNING):
        runner = run(tmp_path, teacher, loss, on_nonfinite='skip')
    assert runner.iter == 4
    assert all(p.isfinite().all() for p in runner.model.parameters())
    scalars = runner.message_hub.log_scalars
    assert scalars['train/loss_bad'].data[0][2:].tolist() == [0, 0]
    assert scalars['train/kd_skipped'].data[0].tolist() == [*(0, 0, 100, 100)]


def test_no_sample_in_the_first_steps(tmp_path, teacher, monkeypatch):
    from mmkd_plugin.distill import term_guard

    monkeypatch.setattr(term_guard, 'PATIENCE', 3)
    cfg = hook_cfg(teacher, tap=dict(type='RoIHeadTap'))
    runner = make_runner(tmp_path, [cfg])
    hook = next(h for h in runner.hooks if type(h).__name__ == 'DistillHook')
    hook.distiller.taps[0].take = lambda teacher: None
    with pytest.raises(RuntimeError, match='No sample reached loss_kd, loss'):
        runner.train()
    assert runner.iter == 2


def test_unknown_choice():
    with pytest.raises(ValueError, match="one of raise, skip but got 'pass'"):
        TermGuard('pass', 'x')


def test_skipped_term_gives_no_gradient():
    guard = TermGuard('skip', 'kd_skipped')
    student = torch.ones(2, 3, requires_grad=True)
    reading = (student, torch.ones(2, 3), torch.zeros(2).long(), torch.ones(2))
    stages = stages_of(reading)
    term = guard.term('loss_x', BadLoss('log0'), 1.0, stages)
    (term + student.sum()).backward()
    assert torch.equal(student.grad, torch.ones(2, 3))
    assert guard.skipped()['kd_skipped'] == 100


def test_loss_scale_that_overflows_is_no_error():
    """The first scale of AMP is often too large, and then lowered."""
    guard = TermGuard('raise', 'kd_skipped')
    student = torch.randn(4, 3).half().requires_grad_()
    losses = dict(loss_kd=KDLoss(tau=1.0))
    stages = stages_of((student, torch.randn(4, 3), None, None))
    value = guard.term('loss_kd', losses['loss_kd'], 1.0, stages)
    (2.0**24 * value).backward()
    assert not student.grad.isfinite().all()
    guard.check(dict(loss_kd=value.item()), losses, 1)
    guard.check(dict(loss_kd=value.item()), losses, 2)  # once proven


@pytest.mark.parametrize('positives', [0, 1])
def test_first_step_without_a_row_that_the_loss_counts(positives):
    """It is not judged by its gradient, which is 0."""
    loss = BinaryDKDLoss(beta=1.0, tau=1.0)
    guard = TermGuard('raise', 'x')
    maps = torch.randn(4, 3, requires_grad=True)
    # All rows have a weight, but background has no loss.
    labels = torch.full((4,), 3)
    labels[:positives] = 1
    reading = (maps, torch.randn(4, 3), labels, torch.ones(4))
    term = guard.term('loss', loss, 1.0, stages_of(reading))
    term.backward()
    assert maps.grad.any() == bool(positives)
    guard.check({'loss': term.item()}, {'loss': loss}, 1)
    guard.clear()
    # The first step that has one is: here the student is detached.
    labels[0] = 0
    stages = stages_of((maps.detach(), *reading[1:]))
    term = guard.term('loss', loss, 1.0, stages)
    if positives:
        guard.check({'loss': term.item()}, {'loss': loss}, 2)
        return
    with pytest.raises(RuntimeError, match='does not train it'):
        guard.check({'loss': term.item()}, {'loss': loss}, 2)
