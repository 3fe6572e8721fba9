"""Runners that distil small detectors."""

import logging
from types import SimpleNamespace

from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from tests.helpers import tiny

LOSSES = dict(
    loss_kd=dict(type='KDLoss', tau=1.0),
    loss_ckd=dict(type='CKDLoss', tau=1.0, loss_weight=1.0),
)


def hook_cfg(teacher, **kwargs):
    return dict(
        type='DistillHook', **{'teacher': teacher, 'losses': LOSSES, **kwargs}
    )


def make_runner(tmp_path, hooks, mask=False, epochs=1, **kwargs):
    """A runner over four batches of two images."""
    tiny.build_detector(mask=mask)
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Boxes', length=8, mask=mask),
        collate_fn=dict(type='pseudo_collate'),
    )
    cfg = dict(
        model=tiny.detector_cfg(mask=mask),
        work_dir=str(tmp_path / 'work'),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.005)),
        default_scope='mmdet',
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=hooks,
        randomness=dict(seed=1, deterministic=False),
        experiment_name=f'{tmp_path.name}-{len(MessageHub._instance_dict)}',
        log_level='WARNING',
    )
    cfg.update(kwargs)
    return Runner.from_cfg(Config(cfg))


def connect(hook, model):
    """Connect a hook to a model as `before_train` does, without a runner."""
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=tiny.Boxes()))
    hook.before_train(
        SimpleNamespace(
            train_loop=loop, model=model, logger=logging.getLogger('test')
        )
    )
    return hook


def losses_of(model, *indices, mask=False):
    data = model.data_preprocessor(tiny.batch(*indices, mask=mask), True)
    return model(**data, mode='loss')
