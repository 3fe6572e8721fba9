"""Feature maps, boxes, crossed heads, and losses with parameters."""

from pathlib import Path

import torch
from mmdet.models import FasterRCNN
from mmdet.registry import MODELS as DET_MODELS
from mmengine.config import ConfigDict
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import (
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    TASK_UTILS,
    DefaultScope,
)

from mmkd_plugin.taps import ClassMapTap, FeatureTap, PooledTap, RoIBoxTap
from tests.helpers import tiny
from tests.helpers.commands import LOSSES, TEACHER
from tests.helpers.errors_page import case

PKD = dict(type='PKDLoss', loss_weight=1.0)
BOX = dict(type='BoxL1Loss')
AT = dict(type='ATLoss', loss_weight=1000.0)
RKD = dict(type='RKDLoss', distance_weight=25.0, angle_weight=50.0)
OFD = dict(
    type='OFDLoss',
    student_channels=[8],
    teacher_channels=[512],
    loss_weight=0.001,
)
CAT = dict(type='CATKDLoss', loss_weight=15.0, size=2, normalize=False)


@TASK_UTILS.register_module()
class CutFeatureTap(FeatureTap):
    """Gives a part of the student's maps."""

    def __init__(self, part, **kwargs):
        super().__init__(**kwargs)
        self.part = part

    def take(self, teacher):
        reading = super().take(teacher)
        return reading._replace(student=PARTS[self.part](reading.student))


PARTS = dict(
    batch=lambda maps: tuple(each[:1] for each in maps),
    size=lambda maps: tuple(each[..., 1:] for each in maps),
    channels=lambda maps: tuple(each[:, 1:] for each in maps),
    rows=lambda maps: tuple(each.flatten(1) for each in maps),
)


@TASK_UTILS.register_module()
class CutPooledTap(PooledTap):
    """Gives the vector of one image of the student."""

    def take(self, teacher):
        reading = super().take(teacher)
        return reading._replace(student=reading.student[:1])


@TASK_UTILS.register_module()
class CutClassMapTap(ClassMapTap):
    """Gives the maps of one image of the student."""

    def take(self, teacher):
        reading = super().take(teacher)
        return reading._replace(student=reading.student[:1])


@TASK_UTILS.register_module()
class CutBoxTap(RoIBoxTap):
    """Gives two numbers per box of the student."""

    def take(self, teacher):
        reading = super().take(teacher)
        return reading._replace(student=reading.student[:, :2])


@DET_MODELS.register_module()
class NamesakeRCNN(FasterRCNN):
    """Has a part of the name that is lent to losses."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.distill = torch.nn.Identity()


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class HeadsAlone(DefaultOptimWrapperConstructor):
    """Trains the RoI head."""

    def __call__(self, model):
        return super().__call__(model.roi_head)


def features(w, loss=PKD, **tap):
    """Train a detector by its maps."""
    w.use('detector')
    return w.train(w.loss(**loss, tap=dict(dict(type='FeatureTap'), **tap)))


def idle(w, modules):
    """Train by maps of a student with a module that does not run."""
    tap = dict(type='FeatureTap', modules=modules, teacher_modules='neck')
    model = dict(w.use('detector').model(), type='NamesakeRCNN')
    return w.train(w.loss(**PKD, tap=tap), model=model)


def trained(w, **changes):
    """Train a detector by maps behind convolutions."""
    channels = dict(student_channels=[16] * 4, teacher_channels=[16] * 4)
    w.use('detector')
    return w.train(w.loss(**PKD, **channels), **changes)


def boxes(w, loss=BOX, **tap):
    """Train a detector by its boxes."""
    w.use('detector')
    return w.train(w.loss(**loss, tap=dict(dict(type='RoIBoxTap'), **tap)))


def classifier(w, backbone):
    """A teacher of that backbone with random weights."""
    w.use('classifier')
    model = w.model(backbone=backbone, head=None)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        w.save('other.pth', MODELS.build(model).state_dict())
    return dict(
        config=dict(default_scope='mmpretrain', model=model),
        checkpoint='other.pth',
    )


def other_teacher(w, change):
    """The teacher of a detector, its config changed, with random weights."""
    cfg = tiny.detector_cfg().to_dict()
    change(cfg)
    with DefaultScope.overwrite_default_scope('mmdet'):
        w.save('other.pth', MODELS.build(ConfigDict(cfg)).state_dict())
    return dict(
        config=dict(default_scope='mmdet', model=cfg), checkpoint='other.pth'
    )


# Terms.

case('term-kind')(
    lambda w: w.use('detector').train(
        w.loss(**PKD, tap=dict(type='RoIHeadTap'))
    )
)
case('term-kind-tap')(
    lambda w: w.use('detector').train(
        w.hook(losses=LOSSES, tap=dict(type='FeatureTap'))
    )
)
case('tap-unused')(
    lambda w: w.use('detector').train(
        w.hook(losses=dict(loss_pkd=PKD), tap=dict(type='FeatureTap'))
    )
)
case('one-teacher')(
    lambda w: w.use('detector').train(
        w.hook(teacher=[TEACHER] * 2, losses=dict(loss_box=BOX))
    )
)

# The modules of FeatureTap.

case('feature-module-kind')(lambda w: features(w, modules=5))
case('feature-module-twice')(lambda w: features(w, modules=['neck', 'neck']))
case('feature-module')(lambda w: features(w, modules='backbone.layer9'))
case('feature-stages')(
    lambda w: w.use('classifier').train(
        w.loss(**AT, tap=dict(type='FeatureTap', modules='preactivations')),
        model=w.model(backbone=dict(type='CIFARMobileNetV2')),
    )
)
case('feature-stage-number')(
    lambda w: w.use('classifier').train(
        w.loss(**AT, tap=dict(type='FeatureTap', modules='stages.4'))
    )
)
case('feature-pooled')(lambda w: w.use('detector').train(w.loss(**RKD)))
case('class-maps-model')(lambda w: w.use('detector').train(w.loss(**CAT)))


@case('ofd-margins')
def _(w):
    backbone = dict(type='CIFARShuffleNetV1')
    return w.use('classifier').train(
        w.hook(teacher=classifier(w, backbone), losses=dict(loss_ofd=OFD))
    )


@case('ofd-one-place')
def _(w):
    tap = dict(type='OFDTap', modules='preactivations.-1')
    teacher = classifier(w, dict(type='ResNet', depth=18))
    return w.use('classifier').train(
        w.hook(teacher=teacher, losses=dict(loss_ofd=dict(OFD, tap=tap))),
        train_dataloader=w.loader(batch_size=1),
    )


case('feature-output')(lambda w: features(w, modules='roi_head.bbox_head'))
case('feature-not-run')(lambda w: idle(w, ['neck', 'distill']))
case('feature-none-runs')(lambda w: idle(w, 'distill'))
case('feature-in-place')(lambda w: features(w, modules='backbone.bn1'))
case('feature-compiled')(
    lambda w: w.use('detector').train(
        w.hook(
            teacher=dict(TEACHER, compile=True),
            losses=dict(
                loss_pkd=dict(
                    PKD, tap=dict(type='FeatureTap', modules='backbone')
                )
            ),
        )
    )
)

# Its levels.

case('feature-levels-kind')(lambda w: features(w, levels='p3'))
case('feature-levels-name')(lambda w: features(w, levels=['P3']))
case('feature-level')(lambda w: features(w, levels=['p9']))
case('feature-level-twice')(
    lambda w: features(
        w, modules=['backbone.layer1', 'neck.fpn_convs.0'], levels=['p2']
    )
)
case('feature-count')(
    lambda w: features(w, modules='backbone', teacher_modules='neck')
)


@case('feature-levels-differ')
def _(w):
    w.use('detector')
    teacher = other_teacher(w, lambda cfg: cfg['neck'].update(num_outs=4))
    return w.train(
        w.hook(
            teacher=teacher,
            losses=dict(loss_pkd=dict(PKD, tap=dict(type='FeatureTap'))),
        )
    )


case('feature-resize')(lambda w: features(w, resize='crop'))


@case('feature-size')
def _(w):
    w.use('detector')
    teacher = dict(TEACHER, input_size=(128, 128))
    return w.train(w.hook(teacher=teacher, losses=dict(loss_pkd=PKD)))


case('feature-teacher-levels')(
    lambda w: features(w, levels=['p3'], teacher_levels=['p4', 'p5'])
)


# What a loss of maps is given.

case('maps-kind')(lambda w: features(w, type='CutFeatureTap', part='rows'))
case('maps-batch')(lambda w: features(w, type='CutFeatureTap', part='batch'))
case('maps-size')(lambda w: features(w, type='CutFeatureTap', part='size'))
case('maps-channels')(
    lambda w: features(w, type='CutFeatureTap', part='channels')
)
case('vectors-shape')(
    lambda w: w.use('classifier').train(
        w.loss(**RKD, tap=dict(type='CutPooledTap'))
    )
)
case('class-maps-shape')(
    lambda w: w.use('classifier').train(
        w.loss(**CAT, tap=dict(type='CutClassMapTap'))
    )
)
case('maps-levels')(
    lambda w: features(
        w, dict(PKD, student_channels=[16], teacher_channels=[16])
    )
)
case('maps-width')(
    lambda w: features(
        w, dict(PKD, student_channels=[8] * 5, teacher_channels=[16] * 5)
    )
)
case('channels-kind')(
    lambda w: features(w, dict(PKD, student_channels=16, teacher_channels=16))
)
case('channels-length')(
    lambda w: features(
        w, dict(PKD, student_channels=[16] * 5, teacher_channels=[16] * 4)
    )
)

# Boxes, and crossed heads.

case('box-rows')(lambda w: boxes(w, rows='truth'))
case('box-deltas')(lambda w: boxes(w, type='CutBoxTap'))
case('box-bounded')(lambda w: boxes(w, dict(BOX, bounded=True)))


@case('box-coder')
def _(w):
    model = w.use('detector').model()
    model['roi_head']['bbox_head'].update(
        bbox_coder=dict(type='TBLRBBoxCoder', normalizer=4.0)
    )
    return w.train(w.loss(**BOX), model=model)


@case('crossing')
def _(w):
    w.use('detector')

    def widen(cfg):
        cfg['neck']['out_channels'] = 8
        cfg['rpn_head']['in_channels'] = 8
        roi = cfg['roi_head']
        roi['bbox_roi_extractor']['out_channels'] = 8
        roi['bbox_head']['in_channels'] = 8

    crossed = dict(
        loss_kd=dict(
            LOSSES['loss_kd'], tap=dict(type='RoIHeadTap', crossed=True)
        )
    )
    return w.train(w.hook(teacher=other_teacher(w, widen), losses=crossed))


@case('semantic')
def _(w):
    w.use('detector')

    def add_branch(cfg):
        roi = cfg['roi_head']
        stages = [roi['bbox_head']] * 2
        roi.update(
            type='HybridTaskCascadeRoIHead',
            num_stages=2,
            stage_loss_weights=[1, 1],
            bbox_head=stages,
            semantic_roi_extractor=dict(
                roi['bbox_roi_extractor'], featmap_strides=[8]
            ),
            semantic_head=dict(
                type='FusedSemanticHead',
                num_ins=5,
                fusion_level=1,
                num_convs=1,
                in_channels=16,
                conv_out_channels=16,
                num_classes=3,
            ),
        )
        cfg['train_cfg']['rcnn'] = [cfg['train_cfg']['rcnn']] * 2
        cfg['type'] = 'HybridTaskCascade'

    return w.train(w.hook(teacher=other_teacher(w, add_branch)))


# Losses with parameters.

case('trained-name')(
    lambda w: trained(
        w, model=dict(w.use('detector').model(), type='NamesakeRCNN')
    )
)
case('trained-constructor')(
    lambda w: trained(
        w,
        optim_wrapper=dict(
            constructor='HeadsAlone', optimizer=dict(type='SGD', lr=0.01)
        ),
    )
)


def resume(w, act):
    """Go on from a checkpoint of a run, after `act` has changed it."""
    ended = trained(w)
    assert ended.code == 0, ended.output
    whole = Path('work').rename('before') / 'epoch_1.pth'
    content = torch.load(whole, weights_only=False)
    act(content)
    changed = w.save(whole.with_name('changed.pth'), content)
    return trained(w, options=['--resume', changed])


case('resume-loss')(lambda w: resume(w, lambda c: c.pop('distill')))


@case('resume-weight')
def _(w):
    config = w.loss(type='KDLoss', tau=1.0, loss_weight='auto')
    ended = w.train(config)
    assert ended.code == 0, ended.output
    whole = Path('work').rename('before') / 'epoch_1.pth'
    content = torch.load(whole, weights_only=False)
    del content['distill_weights']
    changed = w.save(whole.with_name('changed.pth'), content)
    return w.train(config, options=['--resume', changed])


case('resume-loss-shape')(
    lambda w: resume(
        w,
        lambda c: c['distill']['loss_kd'].update(
            {'adapters.0.bias': torch.zeros(8)}
        ),
    )
)
