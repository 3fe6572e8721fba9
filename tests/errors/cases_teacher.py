"""The teacher's config and checkpoint."""

import os
from pathlib import Path

import torch

from tests.helpers import tiny, tiny_vit
from tests.helpers.commands import OPEN
from tests.helpers.errors_page import case

CONV = 'backbone.layer2.0.conv1.weight'
EMBEDDING = 'backbone.pos_embed'
BIAS = 'roi_head.bbox_head.fc_cls.bias'


class Malice:
    def __reduce__(self):
        return os.system, ('touch malice',)


def weights(w, wrapper='', **changes):
    """Train a detector by changed weights; None leaves one out."""
    state = tiny.build_detector(7).state_dict() | changes
    state = {wrapper + k: v for k, v in state.items() if v is not None}
    w.use('detector').save('weights.pth', dict(state_dict=state))
    return w.train(w.teacher(checkpoint='weights.pth'))


def checkpoint(w, content, **changes):
    """Train by a file with this content as the teacher's checkpoint."""
    w.file('t.pth', content)
    return w.train(w.teacher(checkpoint='t.pth', **changes))


def vit(w, state=None, own=None, **kwargs):
    """Train a detector by the maps of a ViT.

    Args:
        state: Turns the weights of the ViT into what its file holds.
        own: Changes of the hook's `teacher`.
        **kwargs: Of `tiny_vit.vit_cfg`.
    """
    teacher = tiny_vit.save_vit('vit.pth', **kwargs)
    teacher['config']['model'] = teacher['config']['model'].to_dict()
    if state:
        weights = tiny_vit.build_vit(**kwargs).state_dict()
        w.save('vit.pth', state(weights))
    loss = dict(
        type='PKDLoss',
        loss_weight=1.0,
        student_channels=[16],
        teacher_channels=[tiny_vit.WIDTH],
        tap=dict(type='FeatureTap', teacher_modules='backbone', levels=['p4']),
    )
    hook = w.hook(
        teacher={**teacher, **(own or {})}, losses=dict(loss_pkd=loss)
    )
    return w.use('detector').train(hook)


def headless(w):
    """Config of a ViT without a head, whose weights are in vit.pth."""
    config = tiny_vit.save_vit('vit.pth')['config']
    return dict(config, model=config['model'].to_dict())


def without_prefix(state):
    return {k.removeprefix('backbone.'): v for k, v in state.items()}


case('teacher-config')(lambda w: w.train(w.teacher(config='no/such.py')))
case('teacher-config-package')(
    lambda w: w.train(w.teacher(config='nowhere::x.py'))
)
case('teacher-config-model')(lambda w: w.train(w.teacher(config=dict(lr=1))))
case('teacher-config-scope')(
    lambda w: w.train(w.teacher(config=dict(model=w.model(), default_scope=5)))
)
case('teacher-config-makes')(
    lambda w: w.train(w.teacher(config=dict(model=dict(type='os.getcwd'))))
)
case('teacher-config-kind')(lambda w: w.train(w.teacher(config=3)))
case('teacher-path')(
    lambda w: w.train(w.teacher(checkpoint='~no_such_user/x.pth'))
)
case('teacher-path-kind')(lambda w: w.train(w.teacher(checkpoint=None)))
case('teacher-prefix')(lambda w: w.train(w.teacher(prefix=5)))
case('teacher-part-kind')(lambda w: w.train(w.teacher(part=5)))
case('teacher-backbone')(lambda w: vit(w, without_prefix))
case('teacher-more')(lambda w: vit(w, lambda s: {**s, 'mask': s[EMBEDDING]}))
case('teacher-no-head')(
    lambda w: vit(
        w,
        lambda s: {k: v for k, v in s.items() if 'head' not in k},
        head=dict(type='LinearClsHead', num_classes=3, in_channels=32),
    )
)
case('teacher-embeddings')(
    lambda w: vit(w, lambda s: {**s, EMBEDDING: torch.ones(1, 5, 32)})
)
case('teacher-image-size')(
    lambda w: vit(w, type='BEiTViT', use_rel_pos_bias=True)
)
case('input-size-kind')(lambda w: w.train(w.teacher(input_size='224')))
case('input-size-factor')(lambda w: w.train(w.teacher(input_size=224)))
case('input-size-side')(lambda w: w.train(w.teacher(input_size=(224, 0))))
case('input-size-tap')(
    lambda w: w.use('detector').train(w.teacher(input_size=0.5))
)
case('evaluate-no-head')(
    lambda w: w.use('classifier').train(
        w.hook(
            teacher=dict(
                config=headless(w), checkpoint='vit.pth', input_size=(64, 64)
            ),
            losses=dict(
                loss_pkd=dict(
                    type='PKDLoss',
                    loss_weight=1.0,
                    student_channels=[8],
                    teacher_channels=[32],
                    tap=dict(type='FeatureTap', modules='backbone'),
                )
            ),
            evaluate_teacher=True,
        ),
        val_dataloader=w.loader(),
        val_cfg={},
        val_evaluator=dict(type='Accuracy'),
    )
)
case('checkpoint-missing')(lambda w: w.train(w.teacher(checkpoint='no.pth')))
case('checkpoint-folder')(lambda w: w.train(w.teacher(checkpoint='.')))
case('checkpoint-empty')(lambda w: checkpoint(w, b''))
case('checkpoint-text')(lambda w: checkpoint(w, b'hello'))
case('teacher-wrapped')(lambda w: weights(w, wrapper='architecture.'))
case('teacher-depth')(lambda w: weights(w, **{CONV: None}))
case('teacher-classes')(lambda w: weights(w, **{BIAS: torch.zeros(81)}))


@case('teacher-scope')
def _(w):
    config = dict(default_scope='mmseg', model=dict(type='EncoderDecoder'))
    return w.train(w.teacher(config=config))


@case('checkpoint-cut')
def _(w):
    return checkpoint(w, Path('teacher.pth').read_bytes()[:5000])


@case('checkpoint-content')
def _(w):
    return w.train(w.teacher(checkpoint=w.save('t.pth', dict(epoch=3))))


@case('prefix')
def _(w):
    w.save('t.pth', dict(a=torch.ones(1)))
    return w.train(w.teacher(checkpoint='t.pth', prefix='x.'))


@case('checkpoint-malice')
def _(w):
    state = torch.load('teacher.pth')['state_dict']
    w.save('t.pth', dict(state_dict=state, meta=Malice()))
    ended = w.train(w.teacher(checkpoint='t.pth'))
    assert not Path('malice').exists()
    return ended


@case('checkpoint-download')
def _(w):
    def download(*args, **kwargs):
        raise OSError('no route to host')

    w.monkeypatch.setenv('TORCH_HOME', str(w.folder))
    w.monkeypatch.setattr(OPEN, download)
    url = 'https://example.com/teacher.pth'
    return w.train(w.teacher(checkpoint=url))


@case('compile')
def _(w):
    def compile_(*args, **kwargs):
        # As inductor says it at the first forward.
        raise RuntimeError(
            'InvalidCxxCompiler: No working C++ compiler found in '
            "torch._inductor.config.cpp.cxx: (None, 'g++')\n\nSet ..."
        )

    w.monkeypatch.setattr(torch.nn.Module, 'compile', compile_)
    return w.train(w.teacher(compile=True))
