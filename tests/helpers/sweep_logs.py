"""Logs of trainings that were never run."""

import json
from types import SimpleNamespace

import pytest
from sweep_job import Job
from sweep_plan import Plan, Run

LOOPS = dict(epochs=dict(max_epochs=10), iterations=dict(max_iters=400))


@pytest.fixture
def make_job(tmp_path):
    """Make the job of a run; nothing is started."""

    def make_job(name='kd', seed=0, kind='epochs', baseline='student'):
        run = Run(name, 'c.py', {}, [seed], baseline)
        settings = dict(config=dict(train_cfg=LOOPS[kind]))
        return Job(Plan('mAP', {}), run, seed, tmp_path, settings)

    return make_job


def write(job, *records, start='2026_1'):
    """Write the log of a run, as MMEngine does."""
    path = job.folder / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(r) + '\n' for r in records))


def train(epoch, iteration):
    return dict(loss=1.0, epoch=epoch, iter=iteration, step=iteration)


def finish(job, seconds):
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / 'result.json').write_text(json.dumps({'seconds': seconds}))


def at_work(job, seconds, monkeypatch):
    """Pretend that a process has been at work so long."""
    job.process = SimpleNamespace(returncode=None)
    monkeypatch.setattr(job, '_begin', -seconds)
    monkeypatch.setattr(
        'sweep_job.time', SimpleNamespace(monotonic=lambda: 0.0)
    )
