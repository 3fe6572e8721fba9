"""A student and a teacher that cannot be compared."""

import torch
from mmdet.models import CascadeRoIHead, RPNHead, Shared2FCBBoxHead
from mmdet.registry import MODELS as DET_MODELS
from mmengine.registry import TASK_UTILS
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS as CLS_MODELS

from mmkd_plugin.taps import ClsHeadTap
from tests.helpers import tiny, tiny_cls
from tests.helpers.commands import TEACHER, as_text
from tests.helpers.errors_page import case

RLD = dict(loss_rld=dict(type='RLDLoss', beta=8.0, tau_scd=1.0, tau_mcd=4.0))
RPN = dict(loss_binarykd=dict(type='BinaryKDLoss', tau=1.0))


@DET_MODELS.register_module()
class NarrowBBoxHead(Shared2FCBBoxHead):
    """Has no logit for the background."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fc_cls = torch.nn.Linear(self.fc_cls.in_features, 3)


@DET_MODELS.register_module()
class PartBBoxHead(Shared2FCBBoxHead):
    """Trains some of the rows."""

    def loss(self, cls_score, bbox_pred, rois, labels, *args, **kwargs):
        return dict(loss_cls=self.loss_cls(cls_score[:5], labels[:5]))


@DET_MODELS.register_module()
class SilentBBoxHead(Shared2FCBBoxHead):
    """Does not call its loss module."""

    def loss(self, cls_score, bbox_pred, rois, labels, *args, **kwargs):
        value = torch.nn.functional.cross_entropy(cls_score, labels)
        return dict(loss_cls=value)


@DET_MODELS.register_module()
class ShortRoIHead(CascadeRoIHead):
    """Leaves its last stage out."""

    def loss(self, *args):
        self.num_stages = 2
        return super().loss(*args)


@DET_MODELS.register_module()
class SilentRPNHead(RPNHead):
    """Does not call its loss modules."""

    def loss_by_feat_single(self, cls_score, bbox_pred, *args, **kwargs):
        return cls_score.square().mean(), bbox_pred.square().mean()


@CLS_MODELS.register_module()
class PatchHead(LinearClsHead):
    """Gives logits of four patches an image."""

    def forward(self, feats):
        return torch.stack([super().forward(feats)] * 4, 2)


@TASK_UTILS.register_module()
class OneHotTap(ClsHeadTap):
    """Gives labels as rows."""

    def take(self, teacher):
        reading = super().take(teacher)
        labels = torch.nn.functional.one_hot(reading.labels, 3)
        return reading._replace(labels=labels)


@TASK_UTILS.register_module()
class CutTap(ClsHeadTap):
    """Gives fewer logits of the student."""

    def take(self, teacher):
        reading = super().take(teacher)
        return reading._replace(student=reading.student[:, :2])


def head(w, classifier=True, **changes):
    """Train a student with another head."""
    model = w.model()
    model['head'] = {'in_channels': 8, 'num_classes': 3, **changes}
    return w.train(model=model)


def box_head(w, **changes):
    """Train a detector with changes of its box head."""
    model = w.use('detector').model()
    model['roi_head']['bbox_head'].update(changes)
    return w.train(model=model)


def named(w, student, teacher, num_student=None, num_teacher=None, **changes):
    """Train with names for the classes of both."""
    model = w.model()
    model['head']['num_classes'] = num_student or len(student)
    count = num_teacher or len(teacher)
    other = tiny_cls.save_teacher('teacher.pth', num_classes=count)
    return w.train(
        w.hook(teacher=dict(other, classes=teacher, **changes)),
        model=model,
        train_dataloader=w.loader(dict(classes=student)),
    )


def retina(w):
    """The model of a one-stage student."""
    model = w.use('detector').model()
    rpn = model.pop('rpn_head')
    model.pop('roi_head')
    model.update(
        type='RetinaNet',
        bbox_head=dict(rpn, type='RetinaHead', num_classes=3, stacked_convs=1),
        train_cfg=model['train_cfg']['rpn'],
        test_cfg=model['test_cfg']['rcnn'],
    )
    return model


case('one-stage')(lambda w: w.train(model=retina(w)))


@case('cascade-teachers')
def _(w):
    w.use('detector')
    teachers = [
        tiny.save_teacher(f'{stages}.pth', stages=stages) for stages in (3, 0)
    ]
    for teacher in teachers:
        teacher['config']['model'] = teacher['config']['model'].to_dict()
    student = tiny.detector_cfg(stages=3).to_dict()
    return w.train(w.hook(teacher=teachers), model=student)


@case('cascade-stage')
def _(w):
    w.use('detector')
    teacher = tiny.save_teacher('teacher.pth', stages=3)
    teacher['config']['model'] = teacher['config']['model'].to_dict()
    student = tiny.detector_cfg(stages=3).to_dict()
    student['roi_head']['type'] = 'ShortRoIHead'
    return w.train(w.hook(teacher=teacher), model=student)


case('sigmoid')(
    lambda w: box_head(
        w, loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True)
    )
)
case('custom-activation')(
    lambda w: box_head(w, loss_cls=dict(type='SeesawLoss', num_classes=3))
)
case('logits-number')(lambda w: box_head(w, type='NarrowBBoxHead'))
case('several-rows')(lambda w: box_head(w, with_cls=False))
case('rows-of-rois')(lambda w: box_head(w, type='PartBBoxHead'))
case('loss-not-called')(lambda w: box_head(w, type='SilentBBoxHead'))


case('rpn-none')(lambda w: w.train(w.hook(losses=RPN), model=retina(w)))


def rpn_head(w, losses=None, **changes):
    """Distil the RPN of a student with changes of it."""
    model = w.use('detector').model()
    model['rpn_head'].update(changes)
    return w.train(w.hook(losses=losses or RPN), model=model)


case('rpn-softmax')(
    lambda w: rpn_head(w, loss_cls=dict(type='CrossEntropyLoss'))
)
case('rpn-anchors')(
    lambda w: rpn_head(
        w,
        anchor_generator=dict(
            type='AnchorGenerator',
            scales=[8],
            ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64],
        ),
    )
)
case('rpn-coder')(
    lambda w: rpn_head(
        w,
        dict(loss_box=dict(type='BoxL1Loss', tap=dict(type='RPNBoxTap'))),
        bbox_coder=dict(type='TBLRBBoxCoder'),
    )
)
case('rpn-rows')(lambda w: rpn_head(w, type='SilentRPNHead'))


@case('rpn-maps')
def _(w):
    w.use('detector')
    cfg = dict(default_scope='mmdet', model=w.model())
    cfg['model']['backbone']['strides'] = (1, 2, 2, 1)
    w.file('teacher.py', as_text(cfg))
    return w.train(w.hook(losses=RPN))


@case('not-a-classifier')
def _(w):
    teacher = tiny.save_teacher('teacher.pth')
    teacher['config']['model'] = teacher['config']['model'].to_dict()
    w.file('teacher.py', as_text(teacher['config']))
    return w.train(w.hook(teacher=TEACHER))


case('sigmoid-classifier')(
    lambda w: head(w, type='LinearClsHead', loss=dict(type='FocalLoss'))
)
case('multi-label')(lambda w: head(w, type='MultiLabelLinearClsHead'))
case('margin')(lambda w: head(w, type='ArcFaceClsHead'))
case('two-tokens')(lambda w: head(w, type='DeiTClsHead'))
case('rows')(lambda w: head(w, type='PatchHead'))


@case('several-tasks')
def _(w):
    model = w.model()
    task = dict(type='LinearClsHead', num_classes=3)
    model['head'] = dict(
        type='MultiTaskHead', in_channels=8, task_heads=dict(one=task)
    )
    return w.train(model=model)


case('class-twice')(
    lambda w: named(w, ['crane', 'cat', 'crane'], ['cat', 'crane', 'crane'])
)
case('class-names')(lambda w: named(w, ['x', 'a'], ['a', 'b']))
case('missing-most')(
    lambda w: named(w, ['x', 'a'], ['a', 'b'], missing_classes='leave_out')
)


def lacking(*classes):
    """A teacher that knows some of cat, dog and owl."""
    return dict(TEACHER, classes=classes, missing_classes='leave_out')


case('missing-teachers')(
    lambda w: w.train(
        w.hook(
            teacher=[lacking('cat', 'dog', 'x'), lacking('dog', 'owl', 'x')]
        )
    )
)


@case('class-number')
def _(w):
    return w.train(
        w.hook(teacher=tiny_cls.save_teacher('teacher.pth', num_classes=80))
    )


case('class-number-head')(lambda w: named(w, ['a'], ['a'], num_student=80))


@case('soft-labels')
def _(w):
    model = w.model()
    model['train_cfg'] = dict(augments=dict(type='Mixup', alpha=1.0))
    return w.train(w.hook(losses=RLD), model=model)


case('one-hot-labels')(
    lambda w: w.train(w.hook(losses=RLD, tap=dict(type='OneHotTap')))
)
case('logits-shape')(lambda w: w.train(w.hook(tap=dict(type='CutTap'))))


# What a student inherits.


def inherit(w, *names, **changes):
    """Train a detector that begins with modules of its teacher."""
    w.use('detector')
    return w.train(w.hook(inherit=list(names), **changes))


case('inherit-kind')(lambda w: w.use('detector').train(w.hook(inherit='neck')))
case('inherit-teachers')(lambda w: inherit(w, 'neck', teacher=[TEACHER] * 2))
case('inherit-module')(lambda w: inherit(w, 'necks'))


@case('inherit-differs')
def _(w):
    w.use('detector')
    model = tiny.detector_cfg(width=4).to_dict()
    return w.train(w.hook(inherit=['backbone']), model=model)


@case('inherit-order')
def _(w):
    classes = tuple(reversed(tiny.CLASSES))
    return inherit(
        w, 'neck', 'roi_head', teacher=dict(TEACHER, classes=classes)
    )


case('inherit-missing')(
    lambda w: inherit(
        w, 'neck', 'roi_head', teacher=lacking('cat', 'dog', 'x')
    )
)
