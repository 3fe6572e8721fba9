"""Small configs as files, and the tools that are given them."""

import sys

from mmengine.logging import MessageHub

from tests.helpers import tiny, tiny_cls

LOSSES = dict(
    loss_rld=dict(type='RLDLoss', beta=2.0, tau_scd=1.0, tau_mcd=4.0),
    loss_ckd=dict(type='CKDLoss', tau=1.0, loss_weight=1.0),
)


def hook_cfg(teacher, **kwargs):
    return dict(
        type='DistillHook', **{'teacher': teacher, 'losses': LOSSES, **kwargs}
    )


def write_config(folder, hooks, classifier=False, **changes):
    """Write a whole config; `changes` replace parts of it."""
    # Registers what the libraries have.
    if classifier:
        tiny_cls.build_classifier()
        model, data = tiny_cls.classifier_cfg(), 'Pictures'
    else:
        tiny.build_detector()
        model, data = tiny.detector_cfg(), 'Boxes'
    cfg = dict(
        default_scope='mmpretrain' if classifier else 'mmdet',
        model=model,
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type=data, length=8),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        custom_hooks=hooks,
        randomness=dict(seed=1),
        # A name of its own: MMEngine keeps what belongs to one.
        experiment_name=f'{folder.name}-{len(MessageHub._instance_dict)}',
    )
    path = folder / 'config.py'
    lines = [f'{key} = {value!r}\n' for key, value in (cfg | changes).items()]
    path.write_text(''.join(lines))
    return str(path)


def run(monkeypatch, capsys, tool, config, *options):
    """Give a command: return its exit code or message, and its output."""
    work = f'{config.removesuffix(".py")}_work'
    argv = [f'{tool.__name__}.py', config, '--work-dir', work, *options]
    monkeypatch.setattr(sys, 'argv', argv)
    capsys.readouterr()
    try:
        code = tool.main()
    except SystemExit as stop:
        code = stop.code
    return code or 0, capsys.readouterr().out
