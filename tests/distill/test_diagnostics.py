"""What a loss tells beside its value, and what the log leaves out."""

import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from mmkd_plugin import Distiller
from mmkd_plugin.distill.diagnostics import (
    asked,
    leave_out_old,
    log_name,
    named,
)
from mmkd_plugin.taps import RoIHeadTap
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers import tiny


class TellingLoss(nn.Module):
    """Tells how often it was called, if it is asked."""

    diagnostics = None

    def __init__(self, what='calls'):
        super().__init__()
        self.what = what
        self.calls = 0

    def forward(self, student, teacher, labels, weights):
        self.calls += 1
        if self.diagnostics is not None:
            number = torch.tensor(float(self.calls))
            self.diagnostics.append({self.what: number})
        return student.square().mean()


def step(tmp_path, loss, factor=1.0):
    student = tiny.build_detector().train()
    distiller = Distiller(dict(loss_tell=loss), RoIHeadTap())
    teacher = Teacher(**tiny.save_teacher(tmp_path / 'teacher.pth'))
    distiller.attach(student, [teacher], tiny.CLASSES)
    distiller.factor = factor
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    return distiller, student(**data, mode='loss')


@pytest.mark.parametrize(
    'term, name',
    [
        ('loss_ckd', 'kd_gap_ckd'),
        ('ckd_loss', 'kd_gap_ckd'),
        ('loss_ckd_2', 'kd_gap_ckd_2'),
    ],
)
def test_named_after_the_term(term, name):
    assert log_name('kd', 'gap', term) == name


def test_a_distiller_asks_and_logs(tmp_path):
    distiller, found = step(tmp_path, TellingLoss())
    assert found['kd_calls_tell'] == 1
    assert 'kd_calls_tell' in distiller.diagnostics
    # Others that call the loss pay nothing, and its repr stays as it was.
    assert distiller.losses['loss_tell'].diagnostics is None


def test_nothing_is_asked_where_the_term_is_off(tmp_path):
    distiller, found = step(tmp_path, TellingLoss(), factor=0)
    assert not any('calls' in name for name in found)
    assert distiller.losses['loss_tell'].calls == 0


def test_a_loss_without_diagnostics_stays_as_it_is():
    loss = nn.Identity()
    with asked(loss) as found:
        assert found == []
    assert not hasattr(loss, 'diagnostics')


def test_each_call_tells():
    loss = TellingLoss()
    reading = (torch.ones(2, 3),) * 2 + (None, None)
    with pytest.raises(KeyboardInterrupt), asked(loss) as found:
        loss(*reading)
        loss(*reading)
        raise KeyboardInterrupt
    assert [each['calls'].item() for each in found] == [1, 2]
    assert loss.diagnostics is None


def test_none_is_back_propagated(tmp_path):
    with pytest.raises(ValueError, match="but loss_tell gives 'loss_raw'"):
        step(tmp_path, TellingLoss('loss_raw'))
    assert named({'raw': 1}, 'kd', 'loss_x') == {'kd_raw_x': 1}


def test_no_old_number_is_logged_again():
    scalars = {}
    for name in ('fresh', 'gone', 'empty', 'foreign'):
        scalars[f'train/{name}'] = HistoryBuffer([1.0], [1])
    scalars['train/empty'].update(float('nan'))
    logged = dict(fresh=1.0, empty=float('nan'))
    leave_out_old(scalars, ['fresh', 'gone', 'empty', 'never'], logged)
    assert [*scalars] == ['train/fresh', 'train/foreign']
