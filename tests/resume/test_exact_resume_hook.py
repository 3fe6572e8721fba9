"""ExactResumeHook: what an interrupted training ends with."""

import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from mmkd_plugin import ExactResumeHook
from mmkd_plugin.checkpoints.unpickling import load_from_local
from tests.helpers import interrupted, tiny
from tests.helpers.interrupted import differences, final_state, make_runner

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Runner, '_log_env', lambda *_: None)
    monkeypatch.setattr(interrupted, 'moments', [])


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """State at the end of a training without interruption."""
    folder = tmp_path_factory.mktemp('whole')
    make_runner(folder).train()
    return final_state(folder)


def sigterm_at(number, children=False):
    """Send SIGTERM to this process at a moment counted from 1."""
    seen = []

    def act(kind):
        seen.append(kind)
        if len(seen) == number:
            for child in multiprocessing.active_children() if children else ():
                os.kill(child.pid, signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    interrupted.moments.append(act)


def stop(folder, number, children=False, **changes):
    """Train until SIGTERM at a moment; return the log."""
    sigterm_at(number, children)
    runner = make_runner(folder, **changes)
    with pytest.raises(SystemExit) as end:
        runner.train()
    assert end.value.code == 143
    interrupted.moments.clear()
    if children:
        end_workers(runner)
    return log_of(runner)


def end_workers(runner):
    """Spare the garbage collector a wait of seconds."""
    runner.train_dataloader._iterator._shutdown_workers()


def log_of(runner):
    return Path(runner.log_dir, f'{runner.timestamp}.log').read_text()


def test_killed_at_every_moment(tmp_path):
    run = subprocess.run(
        [
            sys.executable,
            str(ROOT / 'tests/helpers/interrupted.py'),
            str(tmp_path),
        ],
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    lines = (tmp_path / 'results.txt').read_text().splitlines()
    results = [json.loads(line) for line in lines]
    assert [result for result in results if result[1]] == []
    kinds = Counter(kind for kind, _ in results)
    assert kinds['train'] == kinds['val'] == 8
    # Half-written checkpoints: two of epochs, and the best ones.
    assert kinds['write .part'] >= 4
    assert kinds['write last_checkpoint'] >= 2
    assert kinds['before remove'] >= 1


@pytest.mark.parametrize('moment', [2, 4, 6], ids=['mid', 'end', 'val'])
def test_sigterm_saves_and_resume_ends_alike(tmp_path, whole, moment):
    log = stop(tmp_path, moment)
    assert f'after iteration {min(moment, 4)} of 8' in log
    last = Path(tmp_path, 'last_checkpoint').read_text()
    # A validation follows the checkpoint of its epoch.
    assert Path(last).name == ('epoch_1.pth' if moment == 6 else 'stopped.pth')
    assert last in log
    resumed = make_runner(tmp_path, resume=True, log_level='INFO')
    resumed.train()
    place = 'epoch 1.' if moment == 6 else f'batch {moment} of 4 in epoch 1.'
    assert f'Going on after {place}' in log_of(resumed)
    assert ('Making up' in log_of(resumed)) == (moment == 6)
    assert differences(whole, final_state(tmp_path)) == []
    assert not Path(tmp_path, 'stopped.pth').exists()


def test_sigterm_in_validation_saves_what_no_checkpoint_holds(tmp_path, whole):
    changes = {'default_hooks.checkpoint.interval': 2}
    reference = tmp_path / 'reference'
    make_runner(reference, **changes).train()
    stop(tmp_path / 'work', 6, **changes)
    assert Path(tmp_path, 'work', 'stopped.pth').is_file()
    make_runner(tmp_path / 'work', resume=True, **changes).train()
    end = final_state(tmp_path / 'work')
    assert differences(final_state(reference), end) == []


def test_twice_in_an_epoch(tmp_path, whole):
    stop(tmp_path, 1)
    stop(tmp_path, 2, resume=True)
    kept = load_from_local(tmp_path / 'stopped.pth')['exact_resume']
    assert kept['sampler_seed'] == 3
    assert (kept['batches_seen'], kept['batches']) == (3, 4)
    make_runner(tmp_path, resume=True).train()
    assert differences(whole, final_state(tmp_path)) == []


def test_workers_survive_sigterm_and_do_not_matter(tmp_path):
    # To stop where no gradient is lost, it takes six batches more.
    changes = {
        'train_dataloader.dataset.length': 16,
        'optim_wrapper.accumulative_counts': 8,
    }
    make_runner(tmp_path / 'reference', **changes).train()
    workers = dict(num_workers=2, prefetch_factor=1, persistent_workers=True)
    for key, value in workers.items():
        changes[f'train_dataloader.{key}'] = value
    log = stop(tmp_path / 'work', 2, children=True, **changes)
    assert 'after iteration 8 of 16' in log
    resumed = make_runner(tmp_path / 'work', resume=True, **changes)
    resumed.train()
    end_workers(resumed)
    wanted = final_state(tmp_path / 'reference')
    assert differences(wanted, final_state(tmp_path / 'work')) == []


def test_accumulated_gradients_are_waited_for(tmp_path):
    changes = {'optim_wrapper.accumulative_counts': 2}
    make_runner(tmp_path / 'reference', **changes).train()
    stop(tmp_path / 'work', 1, **changes)
    saved = load_from_local(tmp_path / 'work' / 'stopped.pth')
    assert saved['meta']['iter'] == 2
    make_runner(tmp_path / 'work', resume=True, **changes).train()
    wanted = final_state(tmp_path / 'reference')
    assert differences(wanted, final_state(tmp_path / 'work')) == []
    runner = make_runner(
        tmp_path / 'odd', **{'optim_wrapper.accumulative_counts': 3}
    )
    runner.train()
    assert '`accumulative_counts=3` does not divide the 4' in log_of(runner)


def test_loop_of_iterations(tmp_path):
    changes = {
        'train_cfg': dict(
            _delete_=True, by_epoch=False, max_iters=6, val_interval=2
        ),
        'train_dataloader.sampler.type': 'InfiniteSampler',
        'train_dataloader.dataset.augment': False,
        'default_hooks.checkpoint.by_epoch': False,
        'default_hooks.checkpoint.interval': 4,
        'log_processor': dict(by_epoch=False),
    }
    make_runner(tmp_path / 'reference', **changes).train()
    # Moments 3 to 6 are the validation after iteration 2.
    for name, moment in (('train', 7), ('val', 5)):
        stop(tmp_path / name, moment, **changes)
        make_runner(tmp_path / name, resume=True, **changes).train()
        wanted = final_state(tmp_path / 'reference')
        wanted['exact_resume'] = final_state(tmp_path / name)['exact_resume']
        assert differences(wanted, final_state(tmp_path / name)) == []


def test_without_seed_no_sample_is_lost_or_doubled(tmp_path, monkeypatch):
    seen = []
    load = interrupted.Throws.__getitem__
    monkeypatch.setattr(
        interrupted.Throws,
        '__getitem__',
        lambda self, index: seen.append(index) or load(self, index),
    )
    changes = {'randomness.seed': None, 'val_cfg': None}
    changes.update(val_dataloader=None, val_evaluator=None)
    changes['param_scheduler'] = []
    changes['default_hooks.checkpoint.save_best'] = None
    stop(tmp_path, 2, **changes)
    assert len(seen) == 4
    changes['train_cfg.max_epochs'] = 1
    make_runner(tmp_path, resume=True, **changes).train()
    assert sorted(seen) == list(range(8))


def test_other_number_of_batches_starts_the_epoch_anew(tmp_path):
    stop(tmp_path, 2)
    resumed = make_runner(
        tmp_path, resume=True, **{'train_dataloader.batch_size': 4}
    )
    resumed.train()
    assert (
        '2 batches of epoch 1 have been seen, of 4 on 1 ranks, but now there '
        'are 2 on 1: the epoch starts anew.'
    ) in log_of(resumed)
    assert resumed.iter == 2 + 2 * 2


def test_checkpoint_of_plain_mmengine_is_resumed(tmp_path):
    make_runner(tmp_path, hook=False, **{'train_cfg.max_epochs': 1}).train()
    resumed = make_runner(tmp_path, resume=True)
    resumed.train()
    assert 'saved without ExactResumeHook' in log_of(resumed)
    assert resumed.iter == 8


def test_damaged_checkpoint_gives_way(tmp_path, whole):
    changes = {'default_hooks.checkpoint.max_keep_ckpts': -1}
    make_runner(tmp_path, **changes).train()
    wanted = final_state(tmp_path)
    newest = tmp_path / 'epoch_2.pth'
    newest.write_bytes(newest.read_bytes()[:5000])
    resumed = make_runner(tmp_path, resume=True, **changes)
    resumed.train()
    whole = f'whole checkpoint of this run, {tmp_path}/epoch_1.pth'
    assert whole in log_of(resumed)
    assert differences(wanted, final_state(tmp_path)) == []
    for file in tmp_path.glob('epoch_*.pth'):
        file.write_bytes(b'')
    with pytest.raises(ValueError, match='there is no whole checkpoint'):
        make_runner(tmp_path, resume=True).train()


def test_nothing_is_left_behind(tmp_path):
    handler = signal.getsignal(signal.SIGTERM)
    runner = make_runner(tmp_path)
    runner.train()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not hasattr(runner.train_dataloader.dataset, '__getitems__')
    names = {path.name for path in tmp_path.glob('*.p[at]*')}
    assert len(names) == 2
    assert 'epoch_2.pth' in names
    saved = load_from_local(tmp_path / 'epoch_2.pth')
    assert set(map(type, saved['exact_resume'].values())) == {int, bool}
    with torch.serialization.safe_globals([]):
        kept = tmp_path / 'kept.pth'
        torch.save(saved['exact_resume'], kept)
        assert torch.load(kept, weights_only=True) == saved['exact_resume']


def test_train_py_adds_the_hook_once(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location(
        'train_py', ROOT / 'tools' / 'train.py'
    )
    train_py = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train_py)
    counts = []
    monkeypatch.setattr(
        Runner,
        'train',
        lambda self: counts.append(
            sum(isinstance(hook, ExactResumeHook) for hook in self.hooks)
        ),
    )
    for present in (False, True):
        cfg = make_runner(tmp_path / str(present), hook=present).cfg
        cfg.dump(tmp_path / 'config.py')
        argv = ['train.py', str(tmp_path / 'config.py')]
        monkeypatch.setattr(sys, 'argv', argv)
        train_py.main()
    assert counts == [1, 1]


def test_detector_with_teacher(tmp_path):
    """Its samplers of anchors and RoIs draw from torch's generator."""
    tiny.build_detector()
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    changes = dict(
        model=dict(_delete_=True, **tiny.detector_cfg()),
        train_dataloader=dict(dataset=dict(_delete_=True, type='Boxes')),
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        param_scheduler=[],
        default_scope='mmdet',
        optim_wrapper=dict(optimizer=dict(lr=0.005)),
        custom_hooks=[
            dict(type='CKDHook', teacher=teacher),
            dict(type='ExactResumeHook'),
        ],
    )
    changes['default_hooks.checkpoint.save_best'] = None

    def runner(name, **more):
        made = make_runner(tmp_path / name, **changes, **more)
        made.model.register_forward_pre_hook(
            lambda *_: interrupted.moment('train')
        )
        return made

    runner('reference').train()
    sigterm_at(6)
    with pytest.raises(SystemExit):
        runner('work').train()
    interrupted.moments.clear()
    runner('work', resume=True).train()
    wanted = final_state(tmp_path / 'reference')
    assert differences(wanted, final_state(tmp_path / 'work')) == []


def _rank(rank, folder):
    """Train on two ranks, of which the second gets SIGTERM."""
    os.environ['LOCAL_RANK'] = str(rank)
    torch.set_num_threads(1)
    # MMEngine's own start of it looks for a GPU.
    torch.distributed.init_process_group(
        'gloo', f'file://{folder}/store', rank=rank, world_size=2
    )
    changes = dict(
        launcher='pytorch',
        model_wrapper_cfg=dict(
            type='MMDistributedDataParallel', device_ids=None
        ),
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        param_scheduler=[],
        train_cfg=dict(max_epochs=3),
    )
    changes['default_hooks.checkpoint.save_best'] = None
    make_runner(Path(folder, 'reference'), **changes).train()

    def stopped(name, number, **changes):
        if rank == 1:
            sigterm_at(number)
        try:
            make_runner(Path(folder, name), **changes).train()
        except SystemExit as end:
            Path(folder, f'{name}_{rank}').write_text(str(end.code))
        interrupted.moments.clear()

    stopped('work', 3, **changes)
    if rank == 0:
        saved = load_from_local(Path(folder, 'work', 'stopped.pth'))
        Path(folder, 'iterations').write_text(str(saved['meta']['iter']))
    make_runner(Path(folder, 'work'), resume=True, **changes).train()
    # In the last iteration before a validation.
    del changes['val_dataloader'], changes['val_cfg'], changes['val_evaluator']
    stopped('validation', 2, **changes)
    # A rank that ends while another still talks to it aborts that one.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_ranks_stop_together(tmp_path):
    torch.multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    for name in ('work', 'validation'):
        for rank in (0, 1):
            assert (tmp_path / f'{name}_{rank}').read_text() == '143'
    # One after that in which the signal came.
    assert (tmp_path / 'iterations').read_text() == '4'
    wanted = final_state(tmp_path / 'reference')
    assert wanted['exact_resume']['world_size'] == 2
    assert differences(wanted, final_state(tmp_path / 'work')) == []
