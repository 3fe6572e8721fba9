"""One training: what it leaves, a limit of time, and a real one of a toy."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import sweep_queue
import sweep_report
import sweep_run

from tests.helpers.sweeps import (
    HANGING,
    PLAN,
    REPO,
    out,
    result,
    run,
    send_when,
)

pytestmark = pytest.mark.slow


def test_what_a_run_leaves(do):
    assert do(PLAN, '--out', 'here') == 0
    folder = Path('here', 'kd', 'seed_1').resolve()
    left = json.loads((folder / 'result.json').read_text())
    assert left['metric'] == 'accuracy/top1'
    assert [left['last'], left['last_step']] == [72.5, 2]
    assert [left['best'], left['best_step']] == [74.5, 1]
    (attempt,) = left['attempts']
    assert attempt['command'][2:] == [
        'c.py', '--work-dir', str(folder), '--cfg-options', 'fake.gain=1.5',
        'randomness.seed=1',
    ]  # fmt: skip
    assert attempt['exit_code'] == 0
    assert 1 < attempt['memory'] < 1e5
    assert left['seconds'] == attempt['seconds'] > 0
    assert (folder / 'run.log').read_text() == ''
    found = subprocess.run(
        ['git', 'rev-parse', 'HEAD'], cwd=REPO, capture_output=True, text=True
    )
    if found.returncode == 0:
        assert attempt['commit'].startswith(found.stdout.strip())


def test_a_training_that_takes_too_long(do, capsys):
    plan = HANGING.replace('[0, 1, 2]', '[0]')
    assert do(plan, '--timeout', '0.5') == 1
    assert 'kd, seed 0, failed: stopped after' in capsys.readouterr().out
    assert do(plan) == 0


TOY = """
custom_imports = dict(imports=['tests.helpers.interrupted', 'pause'])
model = dict(type='Dice')
loader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='Throws'), collate_fn=dict(type='pseudo_collate'))
train_dataloader = val_dataloader = loader
train_cfg = dict(by_epoch=True, max_epochs=3)
val_cfg = dict()
val_evaluator = dict(type='Mean')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
custom_hooks = [dict(type='Pause', file='pause')]
visualizer = dict(
    type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""
PAUSE = """
import time
from pathlib import Path
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Pause(Hook):
    def __init__(self, file):
        self.file = Path(file)

    def before_train_epoch(self, runner):
        while runner.epoch == 2 and self.file.exists():
            time.sleep(0.05)
"""
TOY_PLAN = """
runs = dict(toy=dict(config='toy.py'))
seeds = [4]
metric = 'mean'
common = {'optim_wrapper.optimizer.lr': 0.05}
"""


def test_real_training_is_stopped_and_resumed(place, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(sweep_run, 'check_jobs', lambda *args: None)
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv('PYTHONPATH', f'{REPO}{os.pathsep}{place}')
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    (place / 'toy.py').write_text(TOY)
    (place / 'pause.py').write_text(PAUSE)
    (place / 'pause').touch()
    folder = out('toy', 'seed_4')

    def second_epoch_is_validated():
        return 2 in sweep_report.read_metric(folder, 'mean')

    thread = send_when(signal.SIGTERM, second_epoch_is_validated)
    stop = sweep_queue.stop

    def stop_then_let_go_on(jobs):
        for job in jobs:
            job.process.terminate()
        (place / 'pause').unlink()
        stop(jobs)

    monkeypatch.setattr(sweep_queue, 'stop', stop_then_let_go_on)
    assert run(monkeypatch, TOY_PLAN) == 128 + signal.SIGTERM
    thread.join()
    (attempt,) = json.loads((folder / 'attempts.json').read_text())
    assert attempt['exit_code'] == 128 + signal.SIGTERM
    monkeypatch.setattr(sweep_queue, 'stop', stop)
    assert run(monkeypatch, TOY_PLAN) == 0

    log = (folder / 'run.log').read_text()
    assert 'Stopped by SIGTERM' in log and 'resumed' in log
    left = result('toy', 'seed_4')
    assert left['last_step'] == 3
    assert '--resume' in left['attempts'][1]['command']
    values = sweep_report.read_metric(folder, 'mean')
    assert list(values) == [1, 2, 3]
    assert [left['last'], left['best']] == [values[3], max(values.values())]
    dumped = (folder / 'toy.py').read_text()
    assert 'seed=4' in dumped and 'lr=0.05' in dumped
