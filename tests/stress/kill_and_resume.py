"""Kill trainings of a detector with a teacher at random moments; resume them.

Each round starts ``tools/train.py``, kills it with SIGKILL at a random
moment, goes on with ``--resume``, kills that too in some rounds, and compares
the weights at the end with those of a training that was never killed. Says
which phase each kill hit: training, validation or saving. Writing a
checkpoint is slowed down, so that kills hit it half-written too.

    python tests/stress/kill_and_resume.py --kills 20
"""

import argparse
import builtins
import logging
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'
os.environ['CUDA_VISIBLE_DEVICES'] = ''

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.evaluator import BaseMetric  # noqa: E402
from mmengine.hooks import Hook  # noqa: E402
from mmengine.registry import HOOKS, METRICS  # noqa: E402

from mmkd_plugin.checkpoints import atomic  # noqa: E402
from mmkd_plugin.checkpoints.unpickling import load_from_local  # noqa: E402
from tests.helpers import tiny  # noqa: E402

EPOCHS = 3
PHASES = ('start', 'training', 'validation', 'saving')
# Bytes that a killed process leaves behind in a file.
phase_file = None


def enter(phase):
    os.pwrite(phase_file, bytes([PHASES.index(phase)]), 0)


@HOOKS.register_module()
class PhaseHook(Hook):
    """Notes the phase that the training is in."""

    priority = 'VERY_HIGH'

    def before_train_iter(self, *args, **kwargs):
        enter('training')

    def before_val(self, *args, **kwargs):
        enter('validation')

    def before_save_checkpoint(self, *args, **kwargs):
        enter('saving')


@METRICS.register_module()
class Scores(BaseMetric):
    """Mean score of what is detected."""

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            self.results.extend(sample['pred_instances']['scores'].tolist())

    def compute_metrics(self, results):
        return dict(score=sum(results) / max(len(results), 1))


class SlowFile:
    """Writes in pieces, with a pause after each."""

    def __init__(self, *args, **kwargs):
        self.file = builtins.open(*args, **kwargs)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        size = len(content) // 16 + 1
        for start in range(0, len(content), size):
            self.file.write(content[start : start + size])
            self.file.flush()
            time.sleep(0.03)


def write_config(folder):
    """Config of a small Faster R-CNN that learns from another one."""
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(type='Boxes', length=24),
        collate_fn=dict(type='pseudo_collate'),
    )
    Config(
        dict(
            default_scope='mmdet',
            model=tiny.detector_cfg(),
            train_dataloader=loader,
            val_dataloader=dict(loader, dataset=dict(type='Boxes', length=96)),
            train_cfg=dict(by_epoch=True, max_epochs=EPOCHS, val_interval=1),
            val_cfg=dict(),
            val_evaluator=dict(type='Scores'),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.005, momentum=0.9)
            ),
            param_scheduler=[
                dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=9)
            ],
            default_hooks=dict(
                checkpoint=dict(
                    type='CheckpointHook',
                    interval=1,
                    max_keep_ckpts=1,
                    save_best='score',
                    rule='greater',
                )
            ),
            custom_hooks=[
                dict(
                    type='CKDHook',
                    teacher=tiny.save_teacher(folder / 'teacher.pth'),
                ),
                dict(type='EMAHook'),
                dict(type='PhaseHook'),
            ],
            randomness=dict(seed=5),
            log_level='WARNING',
        )
    ).dump(folder / 'config.py')


def start(folder, name, resume):
    """Run ``tools/train.py`` in a copy of this process; return its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        log = os.open(folder / f'{name}.txt', os.O_WRONLY | os.O_CREAT)
        os.lseek(log, 0, os.SEEK_END)
        for stream in (1, 2):
            os.dup2(log, stream)
        atomic.open = SlowFile
        enter('start')
        script = str(ROOT / 'tools' / 'train.py')
        sys.argv = [script, str(folder / 'config.py')]
        sys.argv += ['--work-dir', str(folder / name)]
        sys.argv += ['--resume'] * resume
        runpy.run_path(script, run_name='__main__')
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def phase():
    return PHASES[os.pread(phase_file, 1, 0)[0]]


def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_after(pid, seconds):
    """Kill a training some time after its first iteration.

    Returns:
        str: The phase that was hit, None if the training had ended.
    """
    begun = None
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if begun is None and phase() != 'start':
            begun = time.monotonic()
        if begun is not None and time.monotonic() - begun >= seconds:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return phase()
        time.sleep(0.005)
    return None


def weights(folder, name):
    last = (folder / name / 'last_checkpoint').read_text()
    saved = load_from_local(last)
    return saved['meta']['epoch'], {
        **saved['state_dict'],
        **{f'ema.{k}': v for k, v in saved['ema_state_dict'].items()},
    }


def main():
    global phase_file
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', type=Path, help='where to work, kept')
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    phase_file = os.open(folder / 'phase', os.O_RDWR | os.O_CREAT)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # of the initial weights
    write_config(folder)
    logging.disable(logging.NOTSET)

    enter('start')
    pid = start(folder, 'whole', resume=False)
    while phase() == 'start':
        time.sleep(0.005)
    begun = time.monotonic()
    if wait(pid):
        raise SystemExit((folder / 'whole.txt').read_text())
    seconds = time.monotonic() - begun
    epoch, wanted = weights(folder, 'whole')
    print(f'Without a kill: {EPOCHS} epochs in {seconds:.1f} s.', flush=True)

    moments = random.Random(args.seed)
    hits, equal, unequal = Counter(), Counter(), Counter()
    number = 0
    while sum(hits.values()) < args.kills:
        name = f'round_{number}'
        killed = []
        for attempt in range(moments.choice([1, 1, 2, 3])):
            enter('start')
            pid = start(folder, name, resume=attempt > 0)
            hit = kill_after(pid, moments.uniform(0, seconds))
            if hit is None:
                break
            killed.append(hit)
        if wait(start(folder, name, resume=True)):
            raise SystemExit(
                f'Cannot be resumed after kills in {", ".join(killed)}:\n'
                + (folder / f'{name}.txt').read_text()
            )
        reached, found = weights(folder, name)
        same = reached == epoch and found.keys() == wanted.keys()
        same = same and all(torch.equal(found[k], wanted[k]) for k in wanted)
        hits.update(killed)
        (equal if same else unequal).update(killed)
        print(
            f'Round {number}: killed in {", ".join(killed) or "nothing"}; '
            f'weights {"equal" if same else "DIFFER"}.',
            flush=True,
        )
        number += 1
    print('\n| phase | kills | weights equal at the end |')
    print('|---|---|---|')
    for name in PHASES[1:]:
        print(f'| {name} | {hits[name]} | {equal[name]} |')
    print(f'| all | {sum(hits.values())} | {sum(equal.values())} |')
    if not args.folder:
        shutil.rmtree(folder)
    raise SystemExit(1 if unequal else 0)


if __name__ == '__main__':
    main()
