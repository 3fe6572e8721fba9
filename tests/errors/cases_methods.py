"""MGD, FGD, ReviewKD and MasKD, and the training of MasKD's tokens."""

import torch
from mmengine.registry import TASK_UTILS

from mmkd_plugin.losses.common.mask_tokens import MaskTokens
from mmkd_plugin.taps import FeatureTap
from tests.errors.cases_teacher import CONV, Malice
from tests.helpers import tiny
from tests.helpers.commands import run_tool
from tests.helpers.errors_page import case

WIDTHS = dict(student_channels=[16] * 5, teacher_channels=[16] * 5)
FGD = dict(
    type='FGDLoss', alpha=1e-3, beta=5e-4, gamma=5e-4, lambda_=5e-6, tau=0.5
)
MGD = dict(type='MGDLoss', mask_ratio=0.5, loss_weight=1.0)
MASKD = dict(
    type='MasKDLoss', tokens='tokens.pth', num_tokens=2, warmup=0, **WIDTHS
)
BIAS = 'roi_head.bbox_head.fc_cls.bias'


@TASK_UTILS.register_module()
class RotatedTap(FeatureTap):
    """Gives an angle with each box."""

    def take(self, teacher):
        reading = super().take(teacher)
        labels = [torch.cat([x, x[:, :1]], dim=1) for x in reading.labels]
        return reading._replace(labels=labels)


def loss(w, kind='detector', **changes):
    """Train with a loss of feature maps."""
    return w.use(kind).train(w.loss(**changes))


def read(w, content):
    """Train by a file with this content as that of the tokens."""
    w.save('tokens.pth', content)
    return loss(w, loss_weight=1.0, **MASKD)


def tokens(w, *options, checkpoint='teacher.pth', **changes):
    """Train tokens."""
    config = w.config(**changes)
    options = ['--out', 'tokens.pth', '--iters', 1, *options]
    return run_tool(
        'train_mask_tokens', config, checkpoint, '--work-dir', 'work', *options
    )


case('mask-ratio')(
    lambda w: loss(w, **MGD | dict(mask_ratio=2, teacher_channels=[16] * 4))
)
case('fgd-no-boxes')(
    lambda w: loss(
        w,
        'classifier',
        **FGD,
        teacher_channels=[8],
        tap=dict(type='FeatureTap', modules='backbone'),
    )
)
case('fgd-boxes')(
    lambda w: loss(
        w, **FGD, teacher_channels=[16] * 5, tap=dict(type='RotatedTap')
    )
)


@case('reviewkd-place')
def _(w):
    model = w.use('detector').model()
    model['neck']['num_outs'] = 6
    model['rpn_head']['anchor_generator']['strides'] = [4, 8, 16, 32, 64, 128]
    hook = w.loss(
        type='ReviewKDLoss',
        student_channels=[16] * 6,
        teacher_channels=[16] * 6,
        loss_weight=1.0,
    )
    hook['teacher'] = dict(
        config=dict(default_scope='mmdet', model=model),
        checkpoint='teacher.pth',
    )
    data = w.loader(batch_size=1)
    return w.train(hook, model=model, train_dataloader=data)


case('maskd-missing')(lambda w: loss(w, loss_weight=1.0, **MASKD))
case('maskd-refused')(
    lambda w: read(w, dict(state_dict=dict(a=torch.ones(1)), meta=Malice()))
)
case('maskd-none')(
    lambda w: read(w, torch.load('teacher.pth', weights_only=True))
)
case('maskd-other')(
    lambda w: read(
        w,
        {
            f'mask_modules.{level}.{name}': value
            for level in range(5)
            for name, value in MaskTokens(16, 6).state_dict().items()
        },
    )
)
case('tokens-teacher')(lambda w: tokens(w, checkpoint='nowhere.pth'))
case('tokens-classifier')(tokens)
case('tokens-out')(lambda w: tokens(w, '--out', 'no/such.pth'))
case('tokens-out-folder')(lambda w: tokens(w, '--out', '.'))


@case('tokens-no-neck')
def _(w):
    model = w.model()
    model.pop('neck')
    return tokens(w, model=model)


@case('tokens-other-teacher')
def _(w):
    state = tiny.build_detector().state_dict()
    del state[CONV]
    w.use('detector').save('weights.pth', state)
    return tokens(w, checkpoint='weights.pth')


@case('tokens-nan')
def _(w):
    state = tiny.build_detector().state_dict()
    state[BIAS] *= float('nan')
    w.use('detector').save('weights.pth', state)
    ended = tokens(w, checkpoint='weights.pth')
    assert not (w.folder / 'tokens.pth').exists()
    return ended
