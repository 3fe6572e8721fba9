"""Arguments of the hooks, and of what they build."""

from mmengine.registry import MODELS, TASK_UTILS

from mmkd_plugin.losses import KDLoss
from mmkd_plugin.taps import ClsHeadTap
from tests.helpers import tiny_cls
from tests.helpers.commands import LOSSES, TEACHER
from tests.helpers.errors_page import case

CKD = dict(type='CKDHook', teacher=TEACHER)
AUTO = dict(type='KDLoss', tau=1.0, loss_weight='auto')
VALIDATION = dict(
    val_dataloader=dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='NamedPictures'),
        collate_fn=dict(type='default_collate'),
    ),
    val_cfg=dict(),
    val_evaluator=dict(type='Accuracy'),
)

case('hook-type')(lambda w: w.train({**CKD, 'type': 'CKDHok'}))
case('hook-argument')(
    lambda w: w.train(CKD, options=['--cfg-options', 'custom_hooks.0.tua=2'])
)
case('hook-argument-twice')(lambda w: w.train({**CKD, 'losses': LOSSES}))
case('hooks-kind')(lambda w: w.train(custom_hooks=CKD))
case('hooks-entry')(lambda w: w.train(CKD, None))
case('hooks-priority')(lambda w: w.train({**CKD, 'priority': 'FIRST'}))
case('hooks-twice')(
    lambda w: w.train(w.hook(), *[dict(type='ExactResumeHook')] * 2)
)
case('hooks-scope')(lambda w: w.train({**CKD, '_scope_': 5}))
case('no-teacher')(lambda w: w.train(dict(type='CKDHook')))
case('teacher-part')(
    lambda w: w.train(w.hook(teacher=dict(config='teacher.py')))
)
case('teacher-key')(lambda w: w.train(w.teacher(prefx='a.')))
case('teacher-list-empty')(lambda w: w.train(w.hook(teacher=[])))
case('losses-empty')(lambda w: w.train(w.hook(losses={})))
case('loss-name')(lambda w: w.train(w.hook(losses=dict(kd=LOSSES['loss_kd']))))
case('loss-name-sum')(
    lambda w: w.train(w.hook(losses=dict(loss=LOSSES['loss_kd'])))
)
case('loss-no-type')(lambda w: w.train(w.loss(tau=1)))
case('loss-type')(lambda w: w.train(w.loss(type='KDLos')))
case('loss-kind')(lambda w: w.train(w.loss(type='CIFARResNet', depth=8)))
case('loss-argument')(lambda w: w.train(w.loss(type='KDLoss', tua=1)))
case('loss-number')(lambda w: w.train(w.loss(type='KDLoss')))
case('tau')(lambda w: w.train(w.loss(type='KDLoss', tau=0)))
case('loss-weight')(
    lambda w: w.train(w.loss(type='KDLoss', tau=1.0, loss_weight=-1))
)
case('pull-alone')(
    lambda w: w.train(w.loss(type='KDLoss', tau=1.0, loss_weight=1.0, pull=2))
)
case('pull')(lambda w: w.train(w.loss(**AUTO, pull=0)))
case('auto-task-loss')(
    lambda w: w.train(
        w.hook(losses=dict(loss_kd=AUTO), task_loss=False),
    )
)


@case('auto-unmeasured')
def _(w):
    w.monkeypatch.setattr('mmkd_plugin.distill.auto_weight.STEPS', 1)
    w.use('detector')
    model = w.model()
    model['roi_head']['bbox_head']['loss_bbox']['loss_weight'] = 0.0
    loss = w.loss(type='BoxL1Loss', loss_weight='auto')
    return w.train(loss, model=model)


case('place-weights')(
    lambda w: w.train(
        w.loss(type='FitNetLoss', loss_weight=1.0, foreground_weight=1.0)
    )
)
case('no-boxes')(
    lambda w: w.train(
        w.loss(
            type='FitNetLoss',
            loss_weight=1.0,
            foreground_weight=1.0,
            background_weight=0.0,
            tap=dict(type='FeatureTap', modules='backbone'),
        )
    )
)
case('switch')(
    lambda w: w.train(
        w.loss(type='CKDLoss', tau=1.0, loss_weight=1.0, gather='False')
    )
)
case('tap-type')(lambda w: w.train(w.hook(tap=dict(type='RoITap'))))
case('tap-kind')(
    lambda w: w.use('detector').train(w.hook(tap=dict(type='PseudoSampler')))
)
case('background-weight')(
    lambda w: w.train(
        w.hook(tap=dict(type='RoIHeadTap', background_weight=-1))
    )
)
case('log-prefix')(lambda w: w.train(w.hook(log_prefix='kd_loss')))
case('log-prefix-kind')(lambda w: w.train(w.hook(log_prefix=None)))
case('warmup')(lambda w: w.train(w.hook(warmup=-1)))
case('end')(lambda w: w.train(w.hook(begin=3, end=3)))
case('task-loss')(lambda w: w.train(w.hook(task_loss=False, begin=1)))
case('taus')(lambda w: w.train(w.loss(type='MLKDLoss', taus=4.0)))
case('classifier')(
    lambda w: w.use('detector').train(
        w.loss(type='WKDLLoss', gamma=1.0, tau=1.0)
    )
)
case('on-nonfinite')(lambda w: w.train(w.hook(on_nonfinite='ignore')))
case('precision')(lambda w: w.train(w.teacher(precision='int8')))
case('teacher-switch')(lambda w: w.train(w.teacher(fuse_bn='yes')))
case('missing-kind')(lambda w: w.train(w.teacher(missing_classes='mask')))
case('missing-evaluated')(
    lambda w: w.train(
        w.hook(
            teacher=dict(
                TEACHER,
                classes=['cat', 'dog', 'x'],
                missing_classes='leave_out',
            ),
            evaluate_teacher=True,
        ),
        **VALIDATION,
    )
)
case('check-without-val')(lambda w: w.train(w.hook(evaluate_teacher=True)))
case('min-metric-kind')(lambda w: w.train(w.hook(min_metric=0.3)))
case('min-metric-value')(
    lambda w: w.train(w.hook(min_metric={'accuracy/top1': 'high'}))
)
case('min-metric')(
    lambda w: w.train(w.hook(min_metric=dict(mAP=0.3)), **VALIDATION)
)
case('weak-teacher')(
    lambda w: w.train(w.hook(min_metric={'accuracy/top1': 1000}), **VALIDATION)
)
case('loss-clash')(
    lambda w: w.train(w.hook(losses=dict(loss_cls=LOSSES['loss_kd'])))
)
case('two-hooks')(
    lambda w: w.train(
        w.hook(), w.hook(losses=dict(loss_two=LOSSES['loss_kd']))
    )
)


@MODELS.register_module()
class TellingLoss(KDLoss):
    """Tells a number under a name that MMEngine would back-propagate."""

    diagnostics = None

    def forward(self, *reading):
        self.diagnostics.append(dict(loss_raw=reading[0].mean().detach()))
        return super().forward(*reading)


case('diagnostic-name')(lambda w: w.train(w.loss(type='TellingLoss', tau=1.0)))


@case('epochs')
def _(w):
    loop = dict(type='IterBasedTrainLoop', max_iters=2)
    return w.train(w.hook(warmup=2), train_cfg=loop)


@case('nonfinite-term')
def _(w):
    model = tiny_cls.build_classifier()
    model.head.fc.weight.data.fill_(float('nan'))
    w.save('student.pth', model.state_dict())
    return w.train(load_from='student.pth')


case('dead-term')(
    lambda w: w.train(w.loss(type='DKDLoss', alpha=0, beta=0, tau=1.0))
)


@TASK_UTILS.register_module()
class DeafTap(ClsHeadTap):
    """Hears nothing."""

    def take(self, teacher):
        super().take(teacher)


case('no-sample')(
    lambda w: w.train(
        w.hook(tap=dict(type='DeafTap')),
        default_hooks=dict(checkpoint=None),
        train_cfg=dict(by_epoch=True, max_epochs=20),
    )
)
