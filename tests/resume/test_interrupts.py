"""Ctrl-C or an error anywhere in a training, and what it leaves behind."""

import signal

import pytest
import torch
from mmengine.fileio.backends.registry_utils import backends
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader, Runner

from tests.helpers import tiny_cls
from tests.helpers.classifier_runs import hook_cfg, make_runner

pytestmark = pytest.mark.slow

STAGES = [
    'before_run',
    'before_train',
    'before_train_epoch',
    'before_train_iter',
    'after_train_iter',
    'before_save_checkpoint',
    'after_train_epoch',
    'before_val',
    'before_val_epoch',
    'before_val_iter',
    'after_val_iter',
    'after_val_epoch',
    'after_val',
    'after_train',
    'after_run',
]


class Interrupt(Hook):
    """Raises once, at a stage."""

    def __init__(self, stage, error, priority):
        self.priority = priority
        self.error = error

        def act(runner, *args, **kwargs):
            if self.error is not None:
                error, self.error = self.error, None
                raise error

        setattr(self, stage, act)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Runner, '_log_env', lambda *_: None)


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp('teacher')
    return tiny_cls.save_teacher(folder / 't.pth', width=8)


def runner_of(tmp_path, teacher, **changes):
    hooks = [
        hook_cfg(teacher),
        hook_cfg(
            teacher,
            losses=dict(loss_second=dict(type='KDLoss', tau=1.0)),
            log_prefix='second',
        ),
        dict(type='ExactResumeHook'),
    ]
    loader = dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Pictures', length=8),
    )
    changes.setdefault('train_dataloader', loader)
    return make_runner(tmp_path, hooks, **changes)


def traces(runner):
    """All that a training of ours could have left."""
    model = runner.model
    loaders = [runner.train_dataloader]
    if not isinstance(runner._val_loop, dict):
        loaders.append(runner.val_loop.dataloader)
    savers = [h for h in runner.hooks if isinstance(h, CheckpointHook)]
    return dict(
        hooks=[
            (name, kind)
            for name, module in model.named_modules()
            for kind in (
                '_forward_hooks',
                '_forward_pre_hooks',
                '_forward_hooks_with_kwargs',
                '_backward_hooks',
                '_backward_pre_hooks',
                '_load_state_dict_pre_hooks',
            )
            if getattr(module, kind)
        ],
        methods=[
            (owner, name)
            for owner in (model, *(x.dataset for x in loaders))
            for name in ('forward', '__getitems__')
            if name in vars(owner)
        ],
        workers=[loader.worker_init_fn for loader in loaders],
        loader=type(runner.train_dataloader.batch_sampler).__name__,
        handler=signal.getsignal(signal.SIGTERM),
        schemes=CheckpointLoader._schemes,
        backends=dict(backends),
        arguments=[saver.backend_args for saver in savers],
        file_backends=[
            type(getattr(saver, 'file_backend', None)).__module__
            for saver in savers
        ],
        names=sorted(model.state_dict()),
    )


def check_given_back(runner, before, ran=True):
    after = traces(runner)
    assert after['schemes'] is before['schemes']
    ours = 'mmkd_plugin'
    assert not any(ours in module for module in after.pop('file_backends'))
    workers = after.pop('workers')
    assert not any(ours in repr(function) for function in workers)
    assert after == {key: before[key] for key in after}
    for owner, name in ((runner, 'load_or_resume'), (runner, 'call_hook')):
        assert name not in vars(owner)
    # Shadowed until the loop runs.
    assert not ran or 'run' not in vars(runner.train_loop)


@pytest.mark.parametrize('priority', ['VERY_HIGH', 'LOWEST'])
def test_ctrl_c_at_every_stage(tmp_path, teacher, priority):
    """One runner, which is interrupted again and again, and then trains."""
    runner = runner_of(tmp_path, teacher)
    before = traces(runner)
    for stage in STAGES:
        runner.train_loop._epoch = runner.train_loop._iter = 0
        hook = Interrupt(stage, KeyboardInterrupt(), priority)
        runner.register_hook(hook)
        with pytest.raises(KeyboardInterrupt):
            runner.train()
        assert hook.error is None
        runner._hooks.remove(hook)
        if stage == 'before_run':  # too early for anything to be changed
            vars(runner).pop('load_or_resume', None)
            vars(runner.train_loop).pop('run', None)
        check_given_back(runner, before)
    seen = []
    counter = Interrupt('after_train_iter', None, 'LOWEST')
    counter.after_train_iter = lambda runner, outputs=None, **_: seen.append(
        set(outputs)
    )
    runner.register_hook(counter)
    runner.train_loop._epoch = runner.train_loop._iter = 0
    runner.train()
    check_given_back(runner, before)
    assert len(seen) == 2
    assert {'loss_kd', 'loss_second'} <= seen[0]


def test_model_goes_on_in_another_runner(tmp_path, teacher):
    runner = runner_of(tmp_path, teacher)
    runner.register_hook(
        Interrupt('after_train_iter', KeyboardInterrupt(), 'LOWEST')
    )
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    other = runner_of(tmp_path / 'other', teacher)
    other.model = runner.model
    other.train()
    scalars = other.message_hub.log_scalars
    assert len(scalars['train/loss_kd'].data[0]) == 2
    assert not any(m._forward_hooks for m in other.model.modules())


def test_ctrl_c_while_loading(tmp_path, teacher):
    runner_of(tmp_path, teacher).train()
    runner = runner_of(
        tmp_path,
        teacher,
        resume=True,
        train_cfg=dict(by_epoch=True, max_epochs=2),
    )
    _ = runner.train_loop
    before = traces(runner)
    runner.register_hook(
        Interrupt('after_load_checkpoint', KeyboardInterrupt(), 'NORMAL')
    )
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    check_given_back(runner, before, ran=False)
    runner.train()
    check_given_back(runner, before)
    assert (runner.epoch, runner.iter) == (2, 4)


def test_ctrl_c_while_first_weights_are_loaded(tmp_path, teacher):
    """Which are watched, so that a file that fits little is refused."""
    runner_of(tmp_path, teacher).train()
    file = str(next(tmp_path.rglob('epoch_1.pth')))
    runner = runner_of(tmp_path / 'next', teacher, load_from=file)
    _ = runner.train_loop
    before = traces(runner)
    watched = []
    stop = Interrupt('after_load_checkpoint', KeyboardInterrupt(), 'NORMAL')
    runner.register_hook(stop)
    load = runner.load_checkpoint
    runner.load_checkpoint = lambda *args, **kwargs: (
        watched.append(traces(runner)['hooks']) or load(*args, **kwargs)
    )
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert ('', '_load_state_dict_pre_hooks') in watched[0]
    check_given_back(runner, before, ran=False)
    runner.train()
    check_given_back(runner, before)


def test_ctrl_c_in_a_resumed_epoch(tmp_path, teacher):
    """When its loader holds what is left of it."""
    runner = runner_of(tmp_path, teacher)
    before = traces(runner)
    runner.register_hook(
        Interrupt('before_train_iter', KeyboardInterrupt(), 'LOWEST')
    )
    resuming = next(
        h for h in runner.hooks if type(h).__name__ == 'ExactResumeHook'
    )
    start = resuming.before_train

    def as_if_one_was_seen(runner):
        start(runner)
        resuming._batches_seen = 1

    resuming.before_train = as_if_one_was_seen
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    check_given_back(runner, before)
    assert len(runner.train_dataloader) == 2


def test_second_teacher_is_refused(tmp_path, teacher):
    runner = runner_of(tmp_path, teacher)
    before = traces(runner)
    second = [h for h in runner.hooks if hasattr(h, 'teacher_cfgs')][1]
    cfgs = second.teacher_cfgs
    second.teacher_cfgs = [*cfgs, dict(cfgs[0], checkpoint='nowhere.pth')]
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        runner.train()
    check_given_back(runner, before)
    second.teacher_cfgs = cfgs
    runner.train()
    assert runner.iter == 2


def test_error_in_the_model_is_not_hidden(tmp_path, teacher, monkeypatch):
    runner = runner_of(tmp_path, teacher)
    before = traces(runner)
    with monkeypatch.context() as patch:
        patch.setattr(
            torch.nn.Linear, 'forward', lambda *_: 1 / 0, raising=True
        )
        with pytest.raises(ZeroDivisionError):
            runner.train()
    check_given_back(runner, before)
    runner.train()
    assert runner.iter == 2


def test_validation_alone_loads_and_leaves_nothing(tmp_path, teacher):
    runner = runner_of(tmp_path, teacher)
    schemes = CheckpointLoader._schemes
    for _ in range(3):
        runner.val()
    assert 'load_or_resume' not in vars(runner)
    assert CheckpointLoader._schemes is schemes
    assert HOOKS.get('DistillHook')
