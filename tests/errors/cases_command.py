"""The config file, the options, launchers, folders and checkpoints."""

import os
import shutil
import socket
from pathlib import Path
from urllib.error import URLError

import torch

from mmkd_plugin import compat
from mmkd_plugin.cli import launch
from tests.errors.cases_teacher import CONV, Malice
from tests.helpers import tiny, tiny_cls
from tests.helpers.commands import OPEN, run_tool
from tests.helpers.errors_page import case


def text(w, content, name='c.py'):
    """Train by a config file with this content."""
    return run_tool('train', w.file(name, content))


def options(w, *changes):
    """Train with --cfg-options."""
    return w.train(options=['--cfg-options', *changes])


def grown(w, *lines):
    """A config on top of one that makes its loop from a variable."""
    base = w.file(
        'base.py',
        Path(w.config()).read_text() + 'max_epochs = 1\n'
        'train_cfg = dict(by_epoch=True, max_epochs=max_epochs)\n',
    )
    return w.file('c.py', '\n'.join([f'_base_ = {str(base)!r}', *lines]))


case('config-missing')(lambda w: run_tool('train', 'nowhere.py'))
case('config-folder')(lambda w: run_tool('train', '.'))
case('config-kind')(lambda w: text(w, '', 'c.txt'))
case('config-syntax')(lambda w: text(w, 'model = ('))
case('config-error')(lambda w: text(w, 'lr = 1 / 0'))
case('config-base')(lambda w: text(w, "_base_ = './no_such.py'"))
case('config-import')(
    lambda w: text(
        w,
        "custom_imports = dict(imports=['no_such_module'],\n"
        'allow_failed_imports=False)',
    )
)
case('config-model')(lambda w: text(w, 'lr = 1'))
case('config-part')(lambda w: w.train(train_dataloader=5))
case('config-text')(
    lambda w: text(
        w,
        Path(w.config()).read_text() + 'x = dict(a=object())\n',
    )
)
case('model-type')(
    lambda w: w.use('detector').train(
        model=w.model(backbone=dict(type='ResNot'))
    )
)
case('model-argument')(lambda w: options(w, 'model.backbone.dpeth=18'))
case('model-key')(lambda w: w.train(w.hook(), {'type': 'CKDHook', 1: 2}))
case('model-import')(
    lambda w: w.train(model=w.model(backbone=dict(type='no_such.ResNot')))
)
case('option-value')(lambda w: options(w, 'data_root'))
case('option-brackets')(lambda w: options(w, 'x=[(1,2'))
case('option-key')(lambda w: options(w, 'trian_cfg.max_epochs=1'))
case('option-index')(
    lambda w: w.train(
        options=['--cfg-options', 'param_scheduler.5.begin=1'],
        param_scheduler=[dict(type='MultiStepLR', milestones=[1])],
    )
)
case('option-dead')(
    lambda w: run_tool('train', grown(w), '--cfg-options', 'max_epochs=15')
)
case('config-dead')(lambda w: run_tool('train', grown(w, 'max_epochs = 15')))
case('option-data-root')(lambda w: options(w, 'data_root=/x'))
case('option-method')(lambda w: options(w, 'method=ckd'))
case('option-method-name')(
    lambda w: w.train(
        w.hook(), options=['--cfg-options', 'method=rdl'], method='rld'
    )
)
case('option-import')(
    lambda w: options(w, 'custom_imports.imports=no_such_module')
)
case('amp')(lambda w: w.train(options=['--amp']))
case('auto-scale-lr')(lambda w: w.train(options=['--auto-scale-lr']))


@case('first-weights')
def _(w):
    def urlopen(*args, **kwargs):
        raise URLError('no route to host')

    w.monkeypatch.setenv('TORCH_HOME', str(w.folder))
    w.monkeypatch.setattr(OPEN, urlopen)
    model = w.model()
    model['backbone']['init_cfg'] = dict(
        type='Pretrained', checkpoint='torchvision://resnet18'
    )
    return w.train(model=model)


@case('versions')
def _(w):
    w.monkeypatch.setitem(compat.SUPPORTED, 'mmpretrain', ('99.0', None))
    return w.train()


case('launcher')(lambda w: w.train(options=['--launcher', 'torchrun']))


@case('launcher-environment')
def _(w):
    w.monkeypatch.delenv('RANK', raising=False)
    return w.train(options=['--launcher', 'pytorch'])


@case('launcher-number')
def _(w):
    w.monkeypatch.setenv('RANK', 'first')
    return w.train(options=['--launcher', 'pytorch'])


@case('launcher-gpu')
def _(w):
    for name in launch.LAUNCHERS['slurm'][0]:
        w.monkeypatch.setenv(name, '0')
    w.monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    return w.train(options=['--launcher', 'slurm'])


@case('port')
def _(w):
    w.monkeypatch.setattr(launch, 'get_device', lambda: 'cuda')
    w.monkeypatch.setattr(torch.cuda, 'set_device', lambda device: None)
    with socket.socket() as used:
        used.bind(('127.0.0.1', 0))
        used.listen()
        for name, value in dict(
            RANK=0,
            WORLD_SIZE=2,
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=used.getsockname()[1],
        ).items():
            w.monkeypatch.setenv(name, str(value))
        return w.train(
            options=['--launcher', 'pytorch'],
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
        )


case('work-dir-file')(
    lambda w: run_tool('train', w.config(), '--work-dir', w.file('a') + '/b')
)
case('work-dir-empty')(lambda w: run_tool('train', w.config(), '--work-dir='))


@case('work-dir-read-only')
def _(w):
    config = w.config()
    Path('work').mkdir(mode=0o500)
    root = os.geteuid() == 0
    if root:
        # One to whom permissions apply, and who comes as far as here.
        os.chmod(w.folder, 0o777)
        w.monkeypatch.setattr(os, 'supports_effective_ids', set())
        access = os.access

        def denied(path, mode, **kwargs):
            return Path(path).name != 'work' and access(path, mode)

        w.monkeypatch.setattr(os, 'access', denied)
    return run_tool('train', config, '--work-dir', 'work')


@case('work-dir-full')
def _(w):
    full = shutil.disk_usage(w.folder)._replace(free=100)
    w.monkeypatch.setattr(shutil, 'disk_usage', lambda path: full)
    return w.train()


def saving(w, error):
    """Train where saving a checkpoint fails."""

    def save(*args, **kwargs):
        raise error

    w.monkeypatch.setattr('torch.save', save)
    return w.train()


case('disk-full')(lambda w: saving(w, OSError(28, 'No space left on device')))
case('disk-denied')(
    lambda w: saving(
        w, PermissionError(13, 'Permission denied', 'work/epoch_1.pth')
    )
)


def resume(w, *checkpoint):
    return w.train(options=['--resume', *checkpoint])


case('resume-nothing')(lambda w: resume(w))
case('resume-empty')(lambda w: resume(w, ''))
case('resume-missing')(lambda w: resume(w, 'work/epoch_7.pth'))
case('resume-damaged')(lambda w: resume(w, w.file('epoch_1.pth', 'hello')))


@case('resume-weights')
def _(w):
    return resume(w, 'teacher.pth')


@case('resume-none-whole')
def _(w):
    w.file('work/last_checkpoint', w.file('work/epoch_1.txt', 'hello'))
    return resume(w)


@case('resume-malice')
def _(w):
    state = tiny_cls.build_classifier().state_dict()
    return resume(w, w.save('x.pth', dict(state_dict=state, meta=Malice())))


def test(w, checkpoint):
    config = w.config(
        test_dataloader=w.loader(),
        test_cfg=dict(),
        test_evaluator=dict(type='CocoMetric'),
    )
    return run_tool('test', config, checkpoint, '--work-dir', 'work')


case('test-missing')(lambda w: test(w, 'nowhere.pth'))


@case('test-other-model')
def _(w):
    state = tiny.build_detector().state_dict()
    del state[CONV]
    state['backbone.x'] = torch.ones(1)
    w.save('weights.pth', dict(state_dict=state))
    return test(w.use('detector'), 'weights.pth')


# Looking at a config.


case('noise-size')(lambda w: run_tool('inspect_config', w.config()))
case('no-hook')(lambda w: run_tool('weigh_terms', w.config([])))
case('no-rows')(
    lambda w: run_tool('weigh_terms', w.config(), '--batches', '0')
)


@case('no-logits')
def _(w):
    losses = dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0))
    config = w.use('detector').config([w.hook(losses=losses)])
    return run_tool('analyze_teacher', config)


@case('few-rows')
def _(w):
    data = w.loader(dict(length=4), batch_size=4)
    config = w.config(train_dataloader=data)
    return run_tool('weigh_terms', config, '--samples', '64', '--batches', '1')


case('student-missing')(
    lambda w: run_tool('weigh_terms', w.config(), '--student', 'no.pth')
)
