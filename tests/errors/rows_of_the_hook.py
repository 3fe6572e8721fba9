"""Arguments of the hooks, and of what they build."""

from mmengine.registry import TASK_UTILS

from mmkd_plugin.taps import ClsHeadTap
from tests.helpers import tiny_cls
from tests.helpers.commands import LOSSES, TEACHER
from tests.helpers.errors_page import row

CKD = dict(type='CKDHook', teacher=TEACHER)
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

row('hook-type')(lambda w: w.train({**CKD, 'type': 'CKDHok'}))
row('hook-argument')(
    lambda w: w.train(CKD, options=['--cfg-options', 'custom_hooks.0.tua=2'])
)
row('hook-argument-twice')(lambda w: w.train({**CKD, 'losses': LOSSES}))
row('hooks-kind')(lambda w: w.train(custom_hooks=CKD))
row('hooks-entry')(lambda w: w.train(CKD, None))
row('hooks-priority')(lambda w: w.train({**CKD, 'priority': 'FIRST'}))
row('hooks-twice')(
    lambda w: w.train(w.hook(), *[dict(type='ExactResumeHook')] * 2)
)
row('hooks-scope')(lambda w: w.train({**CKD, '_scope_': 5}))
row('no-teacher')(lambda w: w.train(dict(type='CKDHook')))
row('teacher-part')(
    lambda w: w.train(w.hook(teacher=dict(config='teacher.py')))
)
row('teacher-key')(lambda w: w.train(w.teacher(prefx='a.')))
row('teacher-list-empty')(lambda w: w.train(w.hook(teacher=[])))
row('losses-empty')(lambda w: w.train(w.hook(losses={})))
row('loss-name')(lambda w: w.train(w.hook(losses=dict(kd=LOSSES['loss_kd']))))
row('loss-name-sum')(
    lambda w: w.train(w.hook(losses=dict(loss=LOSSES['loss_kd'])))
)
row('loss-no-type')(lambda w: w.train(w.loss(tau=1)))
row('loss-type')(lambda w: w.train(w.loss(type='KDLos')))
row('loss-kind')(lambda w: w.train(w.loss(type='CIFARResNet', depth=8)))
row('loss-argument')(lambda w: w.train(w.loss(type='KDLoss', tua=1)))
row('loss-number')(lambda w: w.train(w.loss(type='KDLoss')))
row('tau')(lambda w: w.train(w.loss(type='KDLoss', tau=0)))
row('loss-weight')(
    lambda w: w.train(w.loss(type='KDLoss', tau=1.0, loss_weight=-1))
)
row('switch')(
    lambda w: w.train(
        w.loss(type='CKDLoss', tau=1.0, loss_weight=1.0, gather='False')
    )
)
row('tap-type')(lambda w: w.train(w.hook(tap=dict(type='RoITap'))))
row('tap-kind')(
    lambda w: w.use('detector').train(w.hook(tap=dict(type='PseudoSampler')))
)
row('background-weight')(
    lambda w: w.train(
        w.hook(tap=dict(type='RoIHeadTap', background_weight=-1))
    )
)
row('log-prefix')(lambda w: w.train(w.hook(log_prefix='kd_loss')))
row('log-prefix-kind')(lambda w: w.train(w.hook(log_prefix=None)))
row('warmup')(lambda w: w.train(w.hook(warmup=-1)))
row('end')(lambda w: w.train(w.hook(begin=3, end=3)))
row('on-nonfinite')(lambda w: w.train(w.hook(on_nonfinite='ignore')))
row('precision')(lambda w: w.train(w.teacher(precision='int8')))
row('teacher-switch')(lambda w: w.train(w.teacher(fuse_bn='yes')))
row('check-without-val')(lambda w: w.train(w.hook(evaluate_teacher=True)))
row('min-metric-kind')(lambda w: w.train(w.hook(min_metric=0.3)))
row('min-metric-value')(
    lambda w: w.train(w.hook(min_metric={'accuracy/top1': 'high'}))
)
row('min-metric')(
    lambda w: w.train(w.hook(min_metric=dict(mAP=0.3)), **VALIDATION)
)
row('weak-teacher')(
    lambda w: w.train(w.hook(min_metric={'accuracy/top1': 1000}), **VALIDATION)
)
row('loss-clash')(
    lambda w: w.train(w.hook(losses=dict(loss_cls=LOSSES['loss_kd'])))
)
row('two-hooks')(
    lambda w: w.train(
        w.hook(), w.hook(losses=dict(loss_two=LOSSES['loss_kd']))
    )
)


@row('epochs')
def _(w):
    loop = dict(type='IterBasedTrainLoop', max_iters=2)
    return w.train(w.hook(warmup=2), train_cfg=loop)


@row('nonfinite-term')
def _(w):
    model = tiny_cls.build_classifier()
    model.head.fc.weight.data.fill_(float('nan'))
    w.save('student.pth', model.state_dict())
    return w.train(load_from='student.pth')


row('dead-term')(
    lambda w: w.train(w.loss(type='DKDLoss', alpha=0, beta=0, tau=1.0))
)


@TASK_UTILS.register_module()
class DeafTap(ClsHeadTap):
    """Hears nothing."""

    def take(self, teacher):
        super().take(teacher)


row('no-sample')(
    lambda w: w.train(
        w.hook(tap=dict(type='DeafTap')),
        default_hooks=dict(checkpoint=None),
        train_cfg=dict(by_epoch=True, max_epochs=20),
    )
)
