"""Commands as a user types them, run in this process on tiny models.

A command is a tool's own ``main`` with its options in ``sys.argv``; nothing
that it does is left out but what only tells about machine and config.
"""

import contextlib
import importlib.util
import io
import itertools
import os
import re
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import CheckpointLoader
from mmengine.visualization import Visualizer

import mmkd_plugin  # noqa: F401
from tests.helpers import tiny, tiny_cls
from tests.helpers.quick import leave_out_what_takes_long

REPO = Path(__file__).parents[2]
TOOLS = REPO / 'tools'
TEACHER = dict(config='teacher.py', checkpoint='teacher.pth')
LOSSES = dict(loss_kd=dict(type='KDLoss', tau=1.0))
NUMBERS = itertools.count()
# What opens a URL.
OPEN = 'mmkd_plugin.checkpoints.download.urlopen'


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        code (int): The exit code; 70 after a traceback.
        error (str | None): What stands after ``error: ``.
        output (str): All that was printed.
    """

    code: int
    error: str | None
    output: str


@DATASETS.register_module()
class NamedPictures(tiny_cls.Pictures):
    """Noise images of classes with names of one's choice."""

    def __init__(self, length=2, classes=tiny_cls.CLASSES):
        super().__init__(length)
        self.metainfo = dict(classes=classes)

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        sample['data_samples'].set_gt_label(0)
        return sample


def run_tool(name, *argv):
    """Run the `main` of a tool; leave the process as it was."""
    output = io.StringIO()
    with (
        unchanged(),
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        patch.setattr(sys, 'argv', [f'{name}.py', *map(str, argv)])
        leave_out_what_takes_long(patch)
        code, error = 0, None
        try:
            code = load_tool(name).main() or 0
        except SystemExit as stop:
            code = stop.code or 0
            if isinstance(code, str):  # Python prints it, and exits with 1
                found = re.fullmatch('error: (.*)', code)
                code, error = 1, found and found[1]
        except Exception:
            code = 70
            traceback.print_exc(file=output)
    text = output.getvalue()
    if code == 2:
        error = text.splitlines()[-1].split('error: ')[1]
    return Ended(code, error, text)


@contextlib.contextmanager
def unchanged():
    """Put back what a run leaves in the process."""
    kinds = (MMLogger, MessageHub, DefaultScope, Visualizer)
    instances = [kind._instance_dict.copy() for kind in kinds]
    schemes = CheckpointLoader._schemes.copy()
    environment, folder = dict(os.environ), Path.cwd()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        for kind, kept in zip(kinds, instances):
            for name in kind._instance_dict.keys() - kept.keys():
                for log in getattr(kind._instance_dict[name], 'handlers', ()):
                    with contextlib.suppress(OSError):  # a disk that is full
                        log.close()
            kind._instance_dict.clear()
            kind._instance_dict.update(kept)
        CheckpointLoader._schemes.clear()
        CheckpointLoader._schemes.update(schemes)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        signal.signal(signal.SIGTERM, handler)


def tool_path(name):
    """The file of a tool, in whichever folder."""
    return next(TOOLS.rglob(f'{name}.py'))


def load_tool(name):
    spec = importlib.util.spec_from_file_location(
        f'tool_{name}', tool_path(name)
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class World:
    """A folder with a teacher, and commands that are given in it."""

    def __init__(self, folder, monkeypatch, teachers):
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.teachers = teachers
        monkeypatch.chdir(folder)
        # Registers what the libraries have.
        self.use('classifier')

    def use(self, kind):
        """Choose what is trained, 'classifier' or 'detector'."""
        self.kind = kind
        for suffix in ('py', 'pth'):
            shutil.copy(
                self.teachers / f'{kind}.{suffix}', f'teacher.{suffix}'
            )
        return self

    def file(self, name, content=''):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)
        return str(path)

    def save(self, name, content):
        torch.save(content, self.folder / name)
        return name

    def config(self, hooks=None, **changes):
        """Write a whole config, of which `changes` replace parts."""
        detector = self.kind == 'detector'
        cfg = dict(
            default_scope='mmdet' if detector else 'mmpretrain',
            model=self.model(),
            train_dataloader=self.loader(),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            custom_hooks=[self.hook()] if hooks is None else hooks,
            randomness=dict(seed=1),
            # A name of its own: MMEngine keeps what belongs to one.
            experiment_name=f'errors{next(NUMBERS)}',
            log_level='WARNING',
        )
        return self.file('config.py', as_text({**cfg, **changes}))

    def loader(self, dataset=None, **changes):
        detector = self.kind == 'detector'
        data = dict(type='Boxes' if detector else 'NamedPictures', length=2)
        collate = 'pseudo_collate' if detector else 'default_collate'
        cfg = dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset={**data, **(dataset or {})},
            collate_fn=dict(type=collate),
        )
        return {**cfg, **changes}

    def model(self, **changes):
        cfg = (
            tiny.detector_cfg
            if self.kind == 'detector'
            else (tiny_cls.classifier_cfg)
        )
        return {**cfg().to_dict(), **changes}

    def hook(self, **changes):
        cfg = dict(type='DistillHook', teacher=TEACHER, losses=LOSSES)
        return {**cfg, **changes}

    def teacher(self, **changes):
        """The hook with other arguments of its teacher."""
        return self.hook(teacher={**TEACHER, **changes})

    def loss(self, **changes):
        """The hook with another loss."""
        return self.hook(losses=dict(loss_kd=changes))

    def train(self, *hooks, options=(), **changes):
        """Train by a config with these hooks; with none, by the usual one."""
        config = self.config(list(hooks) or None, **changes)
        return run_tool('train', config, '--work-dir', 'work', *options)


def as_text(cfg):
    """A config as the text of a file."""
    lines = [f'{key} = {value!r}\n' for key, value in cfg.items()]
    # Python writes these as names that it does not know.
    return re.sub(r'\b(nan|inf)\b', r"float('\1')", ''.join(lines))


def save_teachers(folder):
    """Write a teacher of each kind, config and weights."""
    for kind, module in dict(classifier=tiny_cls, detector=tiny).items():
        cfg = module.save_teacher(folder / f'{kind}.pth')['config']
        cfg['model'] = cfg['model'].to_dict()
        (folder / f'{kind}.py').write_text(as_text(cfg))


@pytest.fixture(scope='session')
def teachers(tmp_path_factory):
    """A folder with a teacher of each kind."""
    folder = tmp_path_factory.mktemp('teachers')
    save_teachers(folder)
    return folder


@pytest.fixture
def world(tmp_path, monkeypatch, teachers):
    """An empty folder for commands."""
    return World(tmp_path, monkeypatch, teachers)
