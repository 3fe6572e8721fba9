"""How the wheel of mmcv is taken or built, without a network or compiler."""

import sys
import zipfile
from pathlib import Path

import mmcv_ops
import pytest
from mmcv_wheel import Want, find_page
from pairs import Pair

from tests.helpers.wheel_index import name_wheel, write_page, write_wheel

WANT = Want('onedl-mmcv==2.3.6', (3, 11), '2.11.0', 'cpu')


class FakePip:
    """Stands in for `Environment.pip`: builds wheels, notes the calls."""

    def __init__(self, env):
        self.env = env
        self.calls = []

    def __call__(self, *args, log, hint=True, **environ):
        self.calls.append((args[0], environ))
        if args[0] == 'wheel':
            write_wheel(self.env.mmcv.folder / name_wheel())
        else:
            write_wheel(self.env.mmcv.folder / args[-1].rpartition('/')[2])


def prepare(env, monkeypatch, torch='2.11.0', cuda='13.0', gpu=False):
    answer = f'{torch} 3 11 {cuda} {gpu}'
    monkeypatch.setattr(env, 'ask', lambda code: answer)
    monkeypatch.setattr(mmcv_ops, 'check_compiler', lambda include: None)
    for name in ('FORCE_CUDA', 'MAX_JOBS', 'CFLAGS', 'CUDA_VISIBLE_DEVICES'):
        monkeypatch.delenv(name, raising=False)
    pip = FakePip(env)
    monkeypatch.setattr(env, 'pip', pip)
    return pip


def called(pip):
    return [name for name, _ in pip.calls]


def offer(index, want=WANT, stack='onedl'):
    """Puts a wheel on the index's page for a torch and a device."""
    folder = (index / find_page(stack, want).split('/', 3)[3]).parent
    name = name_wheel(
        project=want.pin.split('==')[0].replace('-', '_'),
        version=want.pin.split('==')[1],
        python='cp{}{}'.format(*want.python),
    )
    write_page(folder, name)
    return folder / name


# Prebuilt


@pytest.mark.parametrize(
    'cuda, gpu, force, device',
    [
        ('13.0', True, None, 'cu130'),
        ('13.0', False, None, 'cpu'),
        ('None', False, None, 'cpu'),
        ('13.0', True, '0', 'cpu'),
        ('13.0', False, '1', 'cu130'),  # as while an image is built
    ],
)
def test_the_index_saves_the_build(
    env, monkeypatch, index, cuda, gpu, force, device
):
    pip = prepare(env, monkeypatch, '2.11.0+cu130', cuda, gpu)
    if force:
        monkeypatch.setenv('FORCE_CUDA', force)
    monkeypatch.setattr(env, 'run', lambda *_, **__: True)
    offer(index, WANT._replace(device=device))
    wheel = env.mmcv.get()
    assert called(pip) == ['download']
    assert wheel.parent.name == 'torch-2.11.0+cu130'
    env.mmcv.get()
    assert called(pip) == ['download']


def test_a_folder_of_the_user_comes_first(env, monkeypatch, index, tmp_path):
    offer(index)
    mine = write_wheel(tmp_path / 'mine' / 'deep' / name_wheel())
    env.find_links = str(tmp_path / 'mine')
    taken = []
    monkeypatch.setattr(env.mmcv, 'take', taken.append)
    env.mmcv.folder = env.path
    assert env.mmcv.fetch(WANT)
    assert taken == [str(mine)]


@pytest.mark.parametrize(
    'offered, reason',
    [
        (WANT._replace(python=(3, 12)), 'for Python 3.12 only'),
        (WANT._replace(torch='2.10.0'), 'answers "404'),
        (None, 'answers "404'),
    ],
)
def test_why_it_is_compiled_is_one_line(
    env, monkeypatch, index, capsys, tmp_path, offered, reason
):
    pip = prepare(env, monkeypatch)
    env.find_links = str(tmp_path / 'venv')
    if offered:
        offer(index, offered)
    env.mmcv.get()
    assert called(pip) == ['wheel']
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(
        '   no wheel of onedl-mmcv==2.3.6 for Python 3.11, torch 2.11.0 and '
        f'cpu: {tmp_path / "venv"} has no wheel of onedl-mmcv; '
        f'{find_page("onedl", WANT)} '
    )
    assert reason in first


def test_without_a_network_it_is_compiled(env, monkeypatch, capsys):
    pip = prepare(env, monkeypatch)
    env.mmcv.get()
    assert called(pip) == ['wheel']
    assert 'cannot be read (' in capsys.readouterr().out


@pytest.mark.slow
def test_ops_that_do_not_load_are_not_taken(env, index, capsys, tmp_path):
    """As of another torch; the real pip takes the wheel."""
    env.python = Path(sys.executable)
    env.find_links = str(tmp_path / 'mine')
    name = name_wheel()
    write_wheel(tmp_path / 'mine/a' / name, "raise ImportError('_ZN2at')")
    write_wheel(tmp_path / 'mine/b' / name)
    write_wheel(offer(index), ops='')
    env.mmcv.folder = env.path / 'wheels'
    assert env.mmcv.fetch(WANT)
    with zipfile.ZipFile(env.mmcv.find()) as wheel:
        assert wheel.read('mmcv/_ext.py') == b''
    assert capsys.readouterr().out == ''


@pytest.mark.slow
def test_what_is_wrong_with_a_wheel_is_said(env, index, capsys):
    env.python = Path(sys.executable)
    env.mmcv.folder = env.path / 'wheels'
    wheel = write_wheel(offer(index), ops="raise ImportError('_ZN2at')")
    assert not env.mmcv.fetch(WANT)
    assert (
        'ops that do not load ("ImportError: _ZN2at")'
        in capsys.readouterr().out
    )
    assert not env.mmcv.find()
    write_wheel(wheel)
    assert not env.mmcv.fetch(WANT)
    assert "No module named '_ext'" in capsys.readouterr().out
    wheel.write_bytes(wheel.read_bytes()[:-30])
    assert not env.mmcv.fetch(WANT)
    assert '.whl cannot be taken by pip (see' in capsys.readouterr().out
    assert not env.mmcv.find()


def test_what_is_offered_is_seen_before_torch_is_there(
    env, monkeypatch, index
):
    monkeypatch.setattr(mmcv_ops, 'has_gpu', lambda: False)
    pair = Pair((3, 11))
    assert env.mmcv.find_offer(pair) is None
    offer(index)
    assert env.mmcv.find_offer(pair) == find_page('onedl', WANT)
    monkeypatch.setattr(mmcv_ops, 'has_gpu', lambda: True)
    assert env.mmcv.find_offer(pair) is None
    offer(index, WANT._replace(device='cu130'))
    assert 'cu130' in env.mmcv.find_offer(pair)


# Compiled


def test_mmcv_is_built_once_for_each_torch(env, monkeypatch):
    pip = prepare(env, monkeypatch)
    env.mmcv.get()
    env.mmcv.get()
    assert called(pip) == ['wheel']
    pip = prepare(env, monkeypatch, torch='2.12.0')
    env.mmcv.get()
    assert called(pip) == ['wheel']


def test_a_wheel_that_was_cut_off_is_built_again(env, monkeypatch):
    pip = prepare(env, monkeypatch)
    wheel = env.mmcv.get()
    wheel.write_bytes(wheel.read_bytes()[:-30])
    env.mmcv.get()
    assert called(pip) == ['wheel', 'wheel']


@pytest.mark.parametrize(
    'gpu, nvcc, force, cuda',
    [
        (False, None, None, False),
        (True, None, None, False),
        (True, '/usr/bin/nvcc', None, True),
        (True, '/usr/bin/nvcc', '0', False),
        (False, None, '1', True),
    ],
)
def test_which_ops_are_built(env, monkeypatch, capsys, gpu, nvcc, force, cuda):
    pip = prepare(env, monkeypatch, gpu=gpu)
    monkeypatch.setattr(mmcv_ops, 'find_nvcc', lambda version: nvcc)
    if force is not None:
        monkeypatch.setenv('FORCE_CUDA', force)
    env.mmcv.get()
    environ = pip.calls[-1][1]
    assert environ['MMCV_WITH_OPS'] == '1'
    assert environ['FORCE_CUDA'] == ('1' if cuda else '0')
    # Only a hidden GPU keeps mmcv from compiling for it.
    assert ('CUDA_VISIBLE_DEVICES' in environ) is not cuda
    warned = 'no nvcc of CUDA 13.0' in capsys.readouterr().out
    assert warned is (gpu and not nvcc)
