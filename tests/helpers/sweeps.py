"""Sweeps of pretended trainings."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]

import sweep  # noqa: E402
import sweep_job  # noqa: E402
import sweep_queue  # noqa: E402
import sweep_run  # noqa: E402
import sweep_view  # noqa: E402

# Takes the arguments of tools/train.py; `fake` in the config tells what to
# do. The file `journal` gets a line for each start.
FAKE = """
import json, os, pathlib, sys, time
work = pathlib.Path(sys.argv[sys.argv.index('--work-dir') + 1])
options = dict(
    option.split('=', 1)
    for option in sys.argv[sys.argv.index('--cfg-options') + 1:])
name, seed = work.parent.name, int(options['randomness.seed'])
step = 2 if '--resume' in sys.argv else 1
line = [name, seed, step, options.get('fake.weights'), os.environ.get(
    'CUDA_VISIBLE_DEVICES'), os.environ['OMP_NUM_THREADS'], os.getpid()]
with open('journal', 'a') as journal:
    journal.write(json.dumps(line) + '\\n')
(work / 'last_checkpoint').write_text(str(work / f'epoch_{step}.pth'))
mode = options.get('fake.mode', 'ok')
if step == 1 and mode == 'hangs':
    time.sleep(60)
if mode == 'fails' or mode == 'fails_once' and step == 1:
    sys.exit('error: Out of milk.')
if mode == 'slow':
    time.sleep(0.5)
    (work / 'last_checkpoint').write_text(str(work / 'epoch_9.pth'))
log = work / f'2026_{step}' / 'vis_data' / 'scalars.json'
log.parent.mkdir(parents=True)
value = 70 + seed + float(options.get('fake.gain', 0))
log.write_text(
    json.dumps({'loss': 1.0, 'step': 3}) + '\\n'
    + json.dumps({'accuracy/top1': value + 2, 'top5': 9.0, 'step': 1}) + '\\n'
    + json.dumps({'accuracy/top1': value, 'top5': 8.0, 'step': 2}) + '\\n')
"""
CONFIG = "fake = dict(mode='ok', gain=0.0, weights='')\n"
PLAN = """
runs = dict(
    student=dict(config='c.py'),
    kd=dict(config='c.py', cfg_options={'fake.gain': 1.5}),
)
seeds = [0, 1, 2]
metric = 'accuracy/top1'
baseline = 'student'
"""
NEEDY = """
runs = dict(
    student=dict(config='c.py', cfg_options={
        'fake.weights': '{runs.teacher}'}),
    teacher=dict(config='c.py', seeds=[5], baseline=None, cfg_options={
        'fake.weights': '{runs.grand}', 'fake.mode': 'MODE'}),
    alone=dict(config='c.py'),
    grand=dict(config='c.py', seeds=[7], baseline=None),
)
seeds = [0, 1]
metric = 'accuracy/top1'
baseline = 'alone'
"""
HANGING = PLAN.replace("'fake.gain': 1.5", "'fake.mode': 'hangs'")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a config, where trainings are pretended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(REPO))
    for name in ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS'):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / 'fake.py').write_text(FAKE)
    (tmp_path / 'c.py').write_text(CONFIG)
    monkeypatch.setattr(sweep_job, 'TRAIN', tmp_path / 'fake.py')
    monkeypatch.setattr(sweep_queue, 'PAUSE', 0.01)
    monkeypatch.setattr(sweep_view, 'INTERVAL', 0)
    # Pretended configs have no model.
    monkeypatch.setattr(sweep_run, 'check_jobs', lambda *args: None)
    return tmp_path


def run(monkeypatch, plan, *args):
    """Give the command; return its exit code or its message."""
    Path('plan.py').write_text(plan)
    monkeypatch.setattr(sys, 'argv', ['sweep.py', 'plan.py', *args])
    try:
        sweep.main()
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def do(place, monkeypatch):
    return lambda plan, *args: run(monkeypatch, plan, *args)


def journal(*columns):
    lines = Path('journal').read_text().splitlines()
    lines = [json.loads(line) for line in lines]
    return [tuple(line[i] for i in columns) for line in lines]


def out(*parts):
    return Path('work_dirs', 'sweeps', 'plan', *parts)


def result(*parts):
    return json.loads(out(*parts, 'result.json').read_text())


def report():
    return json.loads(out('results.json').read_text())['runs']


def send_when(number, when):
    """Send this process a signal as soon as `when()` is true."""

    def wait():
        end = time.monotonic() + 120
        while not when() and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread
