"""Trainings of a toy model that are killed at every moment, and resumed.

As a program it kills a training at each of its moments in turn (an iteration
of training or validation, or an operation on a file of a checkpoint; a write
counts when half of it is done), resumes it, and prints one line of JSON for
each: the kind of moment, and what differs at the end from a training that
was not killed.  With ``--plain`` it does so without ExactResumeHook.

    python tests/helpers/interrupted.py FOLDER [--plain]

The lines go to FOLDER/results.txt.
"""

import builtins
import copy
import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

import mmkd_plugin  # noqa: F401, registers the hook
from mmkd_plugin.checkpoints.unpickling import load_from_local

EPOCHS = 2
# What happens at each moment; a test or the program sets it.
moments = []


def moment(kind):
    for act in moments:
        act(kind)


@MODELS.register_module()
class Dice(BaseModel):
    """Draws from all generators in every forward."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(
            nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.3)
        )

    def forward(self, inputs, mode='tensor'):
        x = torch.stack(inputs) if isinstance(inputs, list) else inputs
        out = self.layer(x)
        if mode == 'loss':
            moment('train')
            target = torch.rand(4) + np.random.rand() + random.random()
            return dict(loss=(out - target).square().mean())
        moment('val')
        return list(out + torch.rand(4))


@DATASETS.register_module()
class Throws(Dataset):
    """Samples with random augmentation."""

    def __init__(self, length=8, augment=True):
        self.length = length
        self.augment = augment

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        x = torch.arange(4.0) + index
        if self.augment:
            x = x + torch.rand(4) + np.random.rand() + random.random()
        return dict(inputs=x)


@METRICS.register_module()
class Mean(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.extend(float(sample.mean()) for sample in data_samples)

    def compute_metrics(self, results):
        return dict(mean=sum(results) / len(results))


def make_runner(work_dir, hook=True, **changes):
    """A runner of the toy; `changes` go into its config."""
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(type='Throws'),
        collate_fn=dict(type='pseudo_collate'),
    )
    cfg = Config(
        dict(
            model=dict(type='Dice'),
            work_dir=str(work_dir),
            train_dataloader=loader,
            val_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=EPOCHS),
            val_cfg=dict(),
            val_evaluator=dict(type='Mean'),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.1, momentum=0.9)
            ),
            param_scheduler=[
                dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5),
                # Needs the validation that an interruption may cut off.
                dict(type='ReduceOnPlateauLR', monitor='mean', patience=0),
            ],
            default_hooks=dict(
                checkpoint=dict(
                    type='CheckpointHook',
                    interval=1,
                    max_keep_ckpts=1,
                    save_best='mean',
                    rule='greater',
                )
            ),
            custom_hooks=[dict(type='EMAHook')]
            + [dict(type='ExactResumeHook')] * hook,
            randomness=dict(seed=3),
            log_level='WARNING',
            experiment_name=f'{work_dir}-{random.random()}',
        )
    )
    cfg.merge_from_dict(copy.deepcopy(changes))
    return Runner.from_cfg(cfg)


def final_state(work_dir):
    """All that a training leaves behind in its last checkpoint."""
    last = Path(work_dir, 'last_checkpoint').read_text()
    saved = load_from_local(last)
    hub = saved['message_hub']
    history = {
        name: torch.as_tensor(buffer.data[0])
        for name, buffer in hub['log_scalars'].items()
        if 'time' not in name and 'memory' not in name
    }
    return dict(
        {
            key: saved[key]
            for key in saved
            if key not in ('meta', 'message_hub')
        },
        best=hub['runtime_info'].get('best_score'),
        history=history,
    )


def differences(one, other, name=''):
    """Names of what is not equal to the last bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other}, key=str)
        parts = [(key, one.get(key), other.get(key)) for key in keys]
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) != len(other):
            return [name]
        parts = [(i, a, b) for i, (a, b) in enumerate(zip(one, other))]
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [name]
    else:
        return [] if one == other else [name]
    return [
        found
        for key, a, b in parts
        for found in differences(a, b, f'{name}.{key}'.lstrip('.'))
    ]


def in_fork(function):
    """Run a function in a copy of this process; return how that ended."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except SystemExit as stop:
            os._exit(stop.code or 0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def watch_files():
    """Make operations on the files of checkpoints moments too."""

    def concerns(path):
        return str(path).endswith(('.pth', '.part', 'last_checkpoint'))

    class HalfWritten:
        def __init__(self, file, kind):
            self.file = file
            self.kind = kind

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, content):
            half = len(content) // 2
            self.file.write(content[:half])
            self.file.flush()
            moment(f'write {self.kind}')
            self.file.write(content[half:])

    def watch_open(path, mode='r', *args, **kwargs):
        file = really_open(path, mode, *args, **kwargs)
        if mode[0] != 'w' or not concerns(path):
            return file
        kind = Path(path).suffix or Path(path).name
        moment(f'open {kind}')
        return HalfWritten(file, kind)

    def watched(function, kind):
        def call(path, *args, **kwargs):
            if concerns(path):
                moment(f'before {kind}')
            function(path, *args, **kwargs)
            if concerns(path):
                moment(f'after {kind}')

        return call

    really_open = builtins.open
    builtins.open = watch_open
    for name in ('replace', 'remove', 'unlink'):
        setattr(os, name, watched(getattr(os, name), name))


def main(folder, hook):
    def train(name, resume=False):
        make_runner(Path(folder, name), hook, resume=resume).train()

    torch.set_num_threads(1)
    # These two take most of the time of a run.
    Runner._log_env = lambda *_: None
    Config.pretty_text = property(lambda _: '')
    # Not in a fork: what it imports is there for all that follow.
    train('whole')
    wanted = final_state(Path(folder, 'whole'))
    number = 0
    while True:
        name = f'killed_{number}'
        log = Path(folder, f'{name}.txt')

        def killed(name=name, number=number, log=log):
            seen = []

            def act(kind):
                seen.append(kind)
                if len(seen) > number:
                    log.write_text(kind)
                    os.kill(os.getpid(), signal.SIGKILL)

            watch_files()
            moments.append(act)
            train(name)

        end = in_fork(killed)
        if end == 0:
            break
        assert end == -signal.SIGKILL, end
        end = in_fork(lambda name=name: train(name, resume=True))
        found = ['cannot be resumed']
        if end == 0:
            found = differences(wanted, final_state(Path(folder, name)))
        with open(Path(folder, 'results.txt'), 'a') as results:
            results.write(json.dumps([log.read_text(), found]) + '\n')
        number += 1


if __name__ == '__main__':
    main(sys.argv[1], '--plain' not in sys.argv)
