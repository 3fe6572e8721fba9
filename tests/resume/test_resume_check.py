"""What `--resume` refuses, through the command, and what it takes instead."""

import importlib.util
import itertools
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from mmkd_plugin.checkpoints.unpickling import load_from_local
from mmkd_plugin.resume.readable import refuse_unreadable
from tests.helpers import interrupted

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


numbers = itertools.count()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Runner, '_log_env', lambda *_: None)


@pytest.fixture(scope='module')
def train_py():
    path = ROOT / 'tools' / 'train.py'
    spec = importlib.util.spec_from_file_location('train_py', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A work directory with two checkpoints and the best one."""
    folder = tmp_path_factory.mktemp('trained')
    runner = make_runner(folder / 'work')
    runner.train()
    runner.cfg.dump(folder / 'config.py')
    return folder


def make_runner(folder, **changes):
    changes['default_hooks.checkpoint.max_keep_ckpts'] = -1
    return interrupted.make_runner(folder, experiment_name='toy', **changes)


@pytest.fixture
def run(train_py, trained, tmp_path, monkeypatch):
    """Gives the command in a copy of the work directory.

    Returns its sentence, or None after a success.
    """
    work = tmp_path / 'work'
    shutil.copytree(trained / 'work', work)
    name_last(work, 'epoch_2.pth')

    def command(*options, config=trained / 'config.py', epochs=3):
        argv = ['train.py', str(config), '--work-dir', str(work), *options]
        argv += ['--cfg-options', f'train_cfg.max_epochs={epochs}']
        # MMEngine keeps the log of a name and a second.
        argv += [f'experiment_name=toy{next(numbers)}']
        monkeypatch.setattr(sys, 'argv', argv)
        try:
            train_py.main()
        except SystemExit as stop:
            assert isinstance(stop.code, str)
            assert stop.code.startswith('error: ')
            assert '\n' not in stop.code
            return stop.code
        return None

    command.work = work
    return command


def name_last(work, name):
    (work / 'last_checkpoint').write_text(str(work / name))


def change(file, act):
    content = load_from_local(file)
    act(content)
    torch.save(content, file)


def pop(*path):
    def act(content):
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return act


def put(value, *path):
    def act(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return act


def test_best_checkpoint_is_refused_with_one_to_take(run):
    best = next(run.work.glob('best_*.pth'))
    sentence = run('--resume', str(best))
    assert f"{best} cannot be resumed: it holds no 'optimizer'" in sentence
    assert f'give --resume {run.work}/epoch_' in sentence
    assert f'load_from={best}' in sentence


@pytest.mark.parametrize(
    'act, said',
    [
        (pop('optimizer'), "it holds no 'optimizer'"),
        (pop('param_schedulers'), "it holds no 'param_schedulers'"),
        (pop('message_hub'), "it holds no 'message_hub'"),
        (pop('message_hub', 'log_scalars'), "holds no 'log_scalars'"),
        (pop('meta'), "it holds no 'meta'"),
        (pop('meta', 'epoch'), 'it holds None as number of epochs'),
        (put(-1, 'meta', 'iter'), 'it holds -1 as number of iters'),
        (put(1.5, 'meta', 'iter'), 'it holds 1.5 as number of iters'),
        (put(True, 'meta', 'epoch'), 'it holds True as number of epochs'),
        (put('0', 'meta', 'seed'), "it holds '0' as seed"),
        (
            pop('state_dict', 'layer.0.weight'),
            'does not fit the model: 1 weights are missing (layer.0.weight)',
        ),
        (
            put(torch.ones(1), 'state_dict', 'x.y'),
            'does not fit the model: 1 are unknown (x.y)',
        ),
        (
            put(torch.ones(2, 4), 'state_dict', 'layer.0.weight'),
            '1 are of another shape (layer.0.weight (2, 4))',
        ),
        (
            pop('ema_state_dict', 'module.layer.0.weight'),
            'does not fit the moving average of the model: 1 weights are',
        ),
        (put([], 'optimizer', 'param_groups'), 'an optimizer of 0 groups'),
        (put({}, 'optimizer'), 'it holds no state of an optimizer'),
        (
            put([0], 'optimizer', 'param_groups', 0, 'params'),
            'an optimizer of 1 groups with 1 parameters, and the config '
            'makes one of 1 with 4',
        ),
        (
            put((0.9, 0.99), 'optimizer', 'param_groups', 0, 'betas'),
            'it holds the state of another optimizer than SGD',
        ),
        (
            put(torch.ones(7), 'optimizer', 'state', 0, 'momentum_buffer'),
            'momentum_buffer of the shape (7,) for a parameter of (4, 4)',
        ),
        (
            pop('param_schedulers', 0),
            'it holds the state of 1 schedulers, and `param_scheduler` of '
            'the config makes 2',
        ),
        (
            put({}, 'param_schedulers', 0),
            'it holds no state that fits the scheduler LinearLR',
        ),
        (put({}, 'exact_resume'), 'that is not of ExactResumeHook'),
    ],
)
def test_half_a_state_is_refused(run, act, said):
    change(run.work / 'epoch_2.pth', act)
    before = (run.work / 'epoch_2.pth').read_bytes()
    sentence = run('--resume', str(run.work / 'epoch_2.pth'))
    assert said in sentence
    assert f'give --resume {run.work}/epoch_1.pth, the newest' in sentence
    assert (run.work / 'epoch_2.pth').read_bytes() == before
    assert not (run.work / 'epoch_3.pth').exists()


def test_beyond_the_end(run):
    sentence = run('--resume', epochs=1)
    assert 'was saved after epoch 2, and `train_cfg` ends the' in sentence
    assert 'raise the length of the training' in sentence


def test_complete_run_has_nothing_left(run):
    files = {path: path.stat().st_mtime_ns for path in run.work.glob('*.p*')}
    assert run('--resume', epochs=2) is None
    log = max(run.work.glob('2*/*.log'), key=lambda f: f.stat().st_mtime)
    assert 'Nothing is left to train' in log.read_text()
    now = {path: path.stat().st_mtime_ns for path in run.work.glob('*.p*')}
    now.pop(run.work / 'config.py', None)
    files.pop(run.work / 'config.py', None)
    assert now == files


def moved(last):
    last.write_text('/no/longer/there/epoch_2.pth')


def unreadable(kind, work):
    """Make `last_checkpoint` what it should not be."""
    last = work / 'last_checkpoint'
    if kind in ('folder', 'pipe', 'link', 'loop', 'no file'):
        last.unlink()
    {
        'NUL': lambda: last.write_bytes(bytes(64)),
        'not UTF-8': lambda: last.write_bytes(b'\xff\xfe\x81'),
        'long': lambda: last.write_bytes(b'x' * 9999),
        'huge': lambda: last.write_bytes(b'/x' * 99999),
        'lines': lambda: last.write_text(f'{work}/epoch_1.pth\nmore\n'),
        'empty': lambda: last.write_text(''),
        'blank': lambda: last.write_text(' \r\n'),
        'folder': last.mkdir,
        'pipe': lambda: os.mkfifo(last),
        'link': lambda: last.symlink_to(work / 'nothing' / 'there'),
        'loop': lambda: last.symlink_to(last),
        'no file': lambda: None,
        'names a folder': lambda: last.write_text(str(work)),
        'relative': lambda: last.write_text('elsewhere/epoch_2.pth'),
        'bare': lambda: last.write_text('epoch_2.pth'),
        'moved': lambda: moved(last),
    }[kind]()


KINDS = [
    'NUL',
    'not UTF-8',
    'long',
    'huge',
    'lines',
    'empty',
    'blank',
    'folder',
    'pipe',
    'link',
    'loop',
    'no file',
    'names a folder',
    'relative',
    'bare',
    'moved',
]


@pytest.mark.parametrize('kind', KINDS)
def test_newest_of_this_run_takes_the_place(run, trained, tmp_path, kind):
    unreadable(kind, run.work)
    # Of another run of the same config, newer than all.
    foreign = tmp_path / 'foreign.pth'
    shutil.copy(trained / 'work' / 'epoch_1.pth', foreign)
    change(foreign, put('toy_20200101_000000', 'meta', 'experiment_name'))
    foreign.replace(run.work / 'epoch_9.pth')
    os.utime(run.work / 'epoch_1.pth', (1, 1))
    assert run('--resume') is None
    log = max(run.work.glob('2*/*.log'), key=lambda f: f.stat().st_mtime)
    text = log.read_text()
    assert f'of this run, {run.work}/epoch_2.pth.' in text
    over = 'epoch_9.pth is of another run, toy_20200101_000000'
    if kind not in ('relative', 'bare', 'moved'):  # else one has its name
        assert over in text
    last = run.work / 'last_checkpoint'
    assert last.read_text() == str(run.work / 'epoch_3.pth')


def test_name_with_the_end_of_a_line(run):
    last = run.work / 'last_checkpoint'
    last.write_bytes(f'{run.work}/epoch_1.pth\r\n'.encode())
    (run.work / 'epoch_2.pth').write_text('not looked at')
    assert run('--resume') is None
    assert load_from_local(run.work / 'epoch_2.pth')['meta']['epoch'] == 2


def test_only_a_checkpoint_of_another_model(run, tmp_path):
    for file in run.work.glob('*.pth'):
        change(file, put(torch.ones(1), 'state_dict', 'other.weight'))
    (run.work / 'last_checkpoint').write_bytes(bytes(9))
    sentence = run('--resume')
    assert 'there is no whole checkpoint of this run' in sentence
    assert 'epoch_2.pth does not fit the model: 1 are unknown' in sentence


@DATASETS.register_module()
class Named(interrupted.Throws):
    """Whose metainfo a test sets."""

    metainfo: dict = {}


class Own:
    pass


def test_what_could_not_be_resumed_stops_before_the_first_step(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr(Named, 'metainfo', dict(names=[0, lambda: 0]))
    config = tmp_path / 'config.py'
    runner = make_runner(
        tmp_path / 'x', **{'train_dataloader.dataset.type': 'Named'}
    )
    runner.cfg.dump(config)
    before = {path: path.read_bytes() for path in run.work.glob('*.pth')}
    sentence = run(config=config)
    place = '`meta.dataset_meta.names.1`'
    assert f'could not be resumed, because {place} holds a ' in sentence
    assert {p: p.read_bytes() for p in run.work.glob('*.pth')} == before


def test_what_can_be_resumed_is_let_through():
    history = HistoryBuffer([1.0] * 99, [1] * 99)
    hub = dict(log_scalars=dict(lr=history))
    refuse_unreadable(dict(message_hub=hub, state=torch.ones(99)))
    with pytest.raises(ValueError, match='`optimizer.a.0` holds a .*Own'):
        refuse_unreadable(dict(optimizer=dict(a=[Own()])))
