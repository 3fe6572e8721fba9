"""A rank that fails or dies, and what the others do: no hang, no NaN.

The command is given in each of a group of gloo processes on this machine.
"""

import importlib.util
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import HOOKS, MODEL_WRAPPERS
from mmengine.runner import Runner
from torch import distributed, multiprocessing

from mmkd_plugin.checkpoints.unpickling import load_from_local
from mmkd_plugin.engine import lost_rank
from tests.helpers import tiny_cls
from tests.helpers.tool_runs import write_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KILLED = -signal.SIGKILL

# Imports what each process of a group would import else.
tiny_cls.build_classifier()


@MODEL_WRAPPERS.register_module()
class OnCPU(MMDistributedDataParallel):
    def __init__(self, module, device_ids=None, **kwargs):
        super().__init__(module=module, **kwargs)


@HOOKS.register_module()
class Trouble(Hook):
    """Makes one rank fail, at a stage of an iteration counted from 0."""

    priority = 'VERY_HIGH'

    def __init__(self, how, rank, stage, iteration=0):
        def act(runner, *args, **kwargs):
            if get_rank() == rank and runner.iter == iteration:
                getattr(self, how)(runner)

        setattr(self, stage, act)

    def kill(self, runner):
        os.kill(os.getpid(), signal.SIGKILL)

    def error(self, runner):
        raise ArithmeticError('the numbers of this rank are wrong')

    def nan(self, runner):
        hook = next(h for h in runner.hooks if hasattr(h, 'distiller'))
        (teacher,) = hook.distiller.teachers
        answer = teacher.answer
        teacher.answer = lambda *a, **kw: answer(*a, **kw) * float('nan')

    def spoil(self, runner):
        for parameter in runner.model.parameters():
            parameter.data.fill_(float('nan'))


def work(rank, size, folder, alone):
    """One process, as a launcher starts it."""
    output = os.open(f'{folder}/{rank}.txt', os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.update(
        LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE=str(size)
    )
    torch.set_num_threads(1)
    Runner._log_env = lambda *_: None
    # MMEngine's own start of it looks for a GPU.
    distributed.init_process_group(
        'gloo',
        init_method=f'file://{folder}/store',
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=60),
    )
    path = ROOT / 'tools' / 'train.py'
    spec = importlib.util.spec_from_file_location('train_py', path)
    train_py = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train_py)
    if alone:  # as under MMDetection's own tools/train.py
        train_py.ExactResumeHook = Hook
    argv = ['train.py', f'{folder}/config.py', '--launcher', 'pytorch']
    sys.argv = [*argv, '--work-dir', f'{folder}/work']
    train_py.main()


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp('teacher')
    return tiny_cls.save_teacher(folder / 't.pth', width=8)


@pytest.fixture
def train(tmp_path, teacher):
    """Trains a group: exit codes and last lines of its ranks."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.engine.test_ranks'])

    def command(size, trouble, alone=False, by_epoch=True, hook=None):
        loader = dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='Pictures', length=4 * size),
        )
        length = dict(by_epoch=True, max_epochs=2)
        if not by_epoch:
            length = dict(by_epoch=False, max_iters=4, val_interval=4)
            loader['sampler'] = dict(type='InfiniteSampler', shuffle=False)
        saver = dict(type='CheckpointHook', interval=1, max_keep_ckpts=1)
        saver.update(by_epoch=by_epoch, save_best='auto', rule='greater')
        distil = dict(
            type='DistillHook',
            teacher=teacher,
            losses=dict(loss_kd=dict(type='KDLoss', tau=1.0)),
        )
        distil.update(hook or {})
        write_config(
            tmp_path,
            [distil, dict(type='EMAHook'), dict(type='Trouble', **trouble)],
            classifier=True,
            model_wrapper_cfg=dict(type='OnCPU'),
            train_dataloader=loader,
            train_cfg=length,
            val_dataloader=dict(
                loader, sampler=dict(type='DefaultSampler', shuffle=False)
            ),
            val_cfg=dict(),
            val_evaluator=dict(type='Accuracy', topk=1),
            default_hooks=dict(checkpoint=saver),
            log_level='WARNING',
        )
        group = [
            context.Process(
                target=work, args=(rank, size, str(tmp_path), alone)
            )
            for rank in range(size)
        ]
        for process in group:
            process.start()
        end = time.monotonic() + 100
        for process in group:
            process.join(max(0, end - time.monotonic()))
            process.kill()
            process.join()
        texts = [
            (tmp_path / f'{rank}.txt').read_text() for rank in range(size)
        ]
        return [process.exitcode for process in group], [
            next((x for x in t.splitlines() if x[:6] == 'error:'), t[-900:])
            for t in texts
        ]

    command.work = tmp_path / 'work'
    return command


def saved(work):
    """The checkpoints there are, all of finite weights."""
    for file in work.glob('*.pth'):
        content = load_from_local(file)
        for state in (content['state_dict'], content['ema_state_dict']):
            assert all(value.isfinite().all() for value in state.values())
    return sorted(file.name for file in work.glob('*.pth'))


@pytest.mark.parametrize(
    'alone, by_epoch',
    [(False, True), (True, False)],
    ids=['epoch', 'iteration-without-ExactResumeHook'],
)
def test_nan_on_another_rank_is_not_saved(train, alone, by_epoch):
    trouble = dict(how='nan', rank=1, stage='before_train_iter', iteration=3)
    codes, said = train(2, trouble, alone, by_epoch)
    assert codes == [1, 1]
    assert 'error: Rank 1 stopped at iteration 4 because a dist' in said[0]
    assert 'error: loss_kd is nan at iteration 4 on rank 1' in said[1]
    files = saved(train.work)
    last = 'epoch_1.pth' if by_epoch else 'iter_3.pth'
    assert last in files
    assert len(files) <= 2
    assert (train.work / 'last_checkpoint').read_text().endswith(last)


def test_skipped_nan_goes_on(train):
    trouble = dict(how='nan', rank=1, stage='before_train_iter', iteration=3)
    codes, said = train(2, trouble, hook=dict(on_nonfinite='skip'))
    assert codes == [0, 0], said
    assert 'epoch_2.pth' in saved(train.work)


def test_weights_that_are_nan_are_not_saved(train):
    trouble = dict(how='spoil', rank=0, stage='after_train_epoch', iteration=4)
    codes, said = train(2, trouble)
    assert codes == [1, 1]
    assert 'that are NaN or infinite after iteration 4, so nothing' in said[0]
    assert 'Rank 0 (process ' in said[1]
    assert 'MMKDRuntimeError: ' in said[1]
    assert 'epoch_1.pth' in saved(train.work)


@pytest.mark.parametrize(
    'size, rank, stage, iteration',
    [
        (2, 0, 'after_train_iter', 1),
        (2, 1, 'after_val_iter', 2),
        (4, 2, 'before_train_iter', 0),
    ],
)
def test_rank_that_is_killed_is_named(train, size, rank, stage, iteration):
    trouble = dict(how='kill', rank=rank, stage=stage, iteration=iteration)
    codes, said = train(size, trouble)
    assert codes == [KILLED if r == rank else 1 for r in range(size)], said
    for other in {*range(size)} - {rank}:
        assert f'error: Rank {rank} (process ' in said[other]
        assert 'ended without an error, so this rank stops too' in said[other]


def test_rank_with_an_error_is_named_with_it(train):
    trouble = dict(how='error', rank=1, stage='before_train_iter', iteration=1)
    codes, said = train(2, trouble)
    assert codes == [1, 1]
    assert 'Traceback' in said[1] or 'ArithmeticError' in said[1]
    assert 'error: Rank 1 (process ' in said[0]
    assert 'ArithmeticError: the numbers of this rank are wrong.' in said[0]


def test_rank_on_another_machine(monkeypatch, tmp_path):
    """Nothing is known of its process, and its file may be seen."""
    monkeypatch.setattr(lost_rank, 'PATIENCE', 0.0)
    processes = [lost_rank._identity() for _ in range(2)]
    processes[1].update(host='far', machine=('far', ''), pid=1)
    runner = type(
        'R', (), dict(log_dir=str(tmp_path), _mmkd_processes=processes)
    )()
    error = RuntimeError('[gloo] Connection closed by peer [10.0.0.2]:1')
    name = lost_rank.name_lost_rank
    with pytest.raises(RuntimeError, match='Another rank'), name(runner):
        raise error
    (tmp_path / 'rank_1_ended.json').write_text('"MMKDError: no disk"')
    match = r'Rank 1 .*on far\).*no disk'
    with pytest.raises(RuntimeError, match=match), name(runner):
        raise error
    # Whoever ended only because of others is not the cause.
    (tmp_path / 'rank_1_ended.json').write_text('null')
    with pytest.raises(RuntimeError, match='Another rank'), name(runner):
        raise error
