"""Files of weights, and checkpoints to resume from or to publish."""

import io
import os
from collections import OrderedDict
from email.message import Message
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS

from tests.helpers.commands import OPEN, NamedPictures, run_tool
from tests.helpers.errors_page import case


class Thing:
    """Of a class that nobody knows."""


class Attack:
    """Replaces a method of what is read after it."""

    def __reduce__(self):
        return OrderedDict, (), dict(items=5)


def teacher(w, said='', **changes):
    """Train by the teacher's checkpoint with changes of what it holds."""
    content = torch.load('teacher.pth') | changes
    return named(w, w.save('t.pth', content), said)


def named(w, name, said=''):
    """Train by a teacher's checkpoint of this name."""
    ended = w.train(w.teacher(checkpoint=name))
    assert said in ended.error, ended.error
    return ended


case('checkpoint-attack')(
    lambda w: teacher(w, 'it sets attributes of a dict', meta=Attack())
)
case('checkpoint-meta')(lambda w: teacher(w, meta=[1]))
case('checkpoint-layout')(
    lambda w: teacher(w, state_dict=dict(a=torch.ones(2).to_sparse()))
)


@case('checkpoint-scheme')
def _(w):
    ended = w.train(load_from='s3://bucket/t.pth')
    assert named(w, 's3://bucket/t.pth').error == ended.error
    return ended


case('checkpoint-zoo')(lambda w: named(w, 'mmcls://nothing'))


@case('checkpoint-limit')
def _(w):
    nested: list = []
    for _ in range(200):
        nested = [nested]
    return teacher(w, 'it is nested more than 100 deep', meta=dict(a=nested))


@case('checkpoint-torchscript')
def _(w):
    torch.jit.script(torch.nn.Linear(1, 1)).save('t.pth')
    return named(w, 't.pth')


@case('checkpoint-special')
def _(w):
    os.mkfifo('pipe')
    return named(w, 'pipe')


@case('checkpoint-checksum')
def _(w):
    class Answer(io.BytesIO):
        status, headers = 200, Message()

    w.monkeypatch.setenv('TORCH_HOME', str(w.folder))
    w.monkeypatch.setattr(OPEN, lambda *_, **__: Answer(b'x'))
    ended = named(w, 'https://example.com/t-00000000.pth')
    assert not [*w.folder.glob('hub/**/*.pth')]
    return ended


def resume(w, act):
    """Go on from a checkpoint of a run, after `act` has changed it."""
    ended = w.train()
    assert ended.code == 0, ended.output
    whole = Path('work').rename('before') / 'epoch_1.pth'
    content = torch.load(whole, weights_only=False)
    act(content)
    changed = w.save(whole.with_name('changed.pth'), content)
    return w.train(options=['--resume', changed])


case('resume-best')(lambda w: resume(w, lambda c: c.pop('optimizer')))
case('resume-half')(lambda w: resume(w, lambda c: c['state_dict'].popitem()))
case('resume-beyond')(lambda w: resume(w, lambda c: c['meta'].update(epoch=2)))
case('resume-optimizer')(
    lambda w: resume(w, lambda c: settings(c).update(betas=(0.9, 0.999)))
)
case('resume-stand-in')(
    lambda w: resume(w, lambda c: settings(c).update(lr=Thing()))
)
case('resume-number')(
    lambda w: resume(
        w, lambda c: c['message_hub']['runtime_info'].update(best_score='high')
    )
)


def settings(content):
    """Of the optimizer."""
    return content['optimizer']['param_groups'][0]


@DATASETS.register_module()
class OddNames(NamedPictures):
    """Whose metainfo cannot be read again."""

    def __init__(self, length=2):
        super().__init__(length)
        self.metainfo['names'] = ['a', lambda: 0]


@HOOKS.register_module()
class Spoil(Hook):
    """Leaves no number in the weights."""

    def after_train_iter(self, runner, *args, **kwargs):
        for parameter in runner.model.parameters():
            parameter.data.fill_(float('nan'))


case('unreadable-checkpoint')(
    lambda w: w.train(train_dataloader=w.loader(dict(type='OddNames')))
)
case('nonfinite-weights')(
    lambda w: w.train(
        custom_hooks=[dict(type='Spoil')],
        train_dataloader=w.loader(dict(length=8)),
    )
)


def publish(w, meta, *options):
    path = Path('alone/t.pth')
    path.parent.mkdir()
    w.save(path, torch.load('teacher.pth') | dict(meta=meta))
    ended = run_tool('publish_student', path, 'out', *options)
    assert not Path('out').exists()
    return ended


case('publish-config')(lambda w: publish(w, {}))
case('publish-meta')(
    lambda w: publish(
        w, dict(dataset_meta=dict(a=Thing())), '--config', 'teacher.py'
    )
)
