"""pulls_by_step.py: pulls during a training that the terms do not change."""

import sys

import pytest

from tests.helpers import tiny
from tests.helpers.benchmarks import BENCHMARKS
from tests.helpers.tool_runs import hook_cfg, run, write_config


@pytest.fixture
def pulls_by_step(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pulls_by_step

    yield pulls_by_step
    sys.modules.pop('pulls_by_step')
    pulls_by_step.HOOKS.module_dict.pop('PullsByStepHook')


def test_rows(pulls_by_step):
    found = {0: {'a': 8.0}, 95: {'a': 3.0}, 100: {'a': 1.0, 'b': 2.0}}
    assert pulls_by_step.rows_of(found, [0, 100, 500]) == [
        ['step', '0', '100', '500'],
        ['a', '8', '2', ''],
        ['b', '', '2', ''],
    ]


@pytest.mark.slow
def test_pulls_of_a_training(pulls_by_step, tmp_path, monkeypatch, capsys):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    config = write_config(tmp_path, [hook_cfg(teacher)])
    code, output = run(
        monkeypatch, capsys, pulls_by_step, config, '--steps', '0', '1'
    )
    assert code == 0, output
    table = [line for line in output.splitlines() if '| loss_' in line]
    names = [line.split('|')[1].strip() for line in table]
    assert names == ['loss_rld', 'loss_ckd']
    pulls = [float(cell) for line in table for cell in line.split('|')[2:4]]
    assert all(0.001 < pull < 1000 for pull in pulls)


def test_config_without_losses(pulls_by_step, tmp_path, monkeypatch, capsys):
    config = write_config(tmp_path, [])
    code, _ = run(monkeypatch, capsys, pulls_by_step, config, '--steps', '0')
    assert 'has 0 hooks with a teacher' in str(code)
