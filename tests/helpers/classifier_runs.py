"""Runners that distil small classifiers."""

import logging
from types import SimpleNamespace

from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.runner import Runner

import mmkd_plugin  # noqa: F401, registers the hook
from tests.helpers import tiny_cls

LOSSES = dict(
    loss_kd=dict(type='KDLoss', tau=4.0),
    loss_ckd=dict(type='CKDLoss', tau=1.0, loss_weight=1.0),
)


def hook_cfg(teacher, **kwargs):
    return dict(
        type='DistillHook', **{'teacher': teacher, 'losses': LOSSES, **kwargs}
    )


def make_runner(tmp_path, hooks, model=None, **kwargs):
    """A runner over two batches of four images."""
    tiny_cls.build_classifier()
    loader = dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Pictures', length=8),
    )
    cfg = dict(
        model=tiny_cls.classifier_cfg(**(model or {})),
        work_dir=str(tmp_path / 'work'),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=dict(type='Accuracy', topk=1),
        default_scope='mmpretrain',
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=hooks,
        randomness=dict(seed=1),
        experiment_name=f'{tmp_path.name}-{len(MessageHub._instance_dict)}',
        log_level='WARNING',
    )
    cfg.update(kwargs)
    return Runner.from_cfg(Config(cfg))


def connect(hook, model):
    """Connect a hook to a model as `before_train` does, without a runner."""
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=tiny_cls.Pictures())
    )
    hook.before_train(
        SimpleNamespace(
            train_loop=loop, model=model, logger=logging.getLogger('test')
        )
    )
    return hook


def losses_of(model, *indices):
    data = model.data_preprocessor(tiny_cls.batch(*indices), True)
    return model(**data, mode='loss')
