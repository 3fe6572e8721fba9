"""The set-up, without a network: stand-ins for pip and the compiler."""

import fcntl
import os
import sys
import threading
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
import setup_env
from setup_env import Environment, SetupError

STEPS = ('create', 'install_torch', 'get_mmcv', 'install_stack', 'check')


@pytest.fixture
def env(tmp_path):
    """An environment whose Python is the one that runs the tests."""
    env = Environment(tmp_path / 'venv', 'onedl')
    env.claim()
    env.lock()
    env.tmp.mkdir()
    env.logs.mkdir()
    env.python.parent.mkdir()
    env.python.symlink_to(sys.executable)
    yield env
    env.lock_file.close()


class Recorder(Environment):
    """Records its steps instead of going through them."""

    broken = None

    def __init__(self, *args):
        super().__init__(*args)
        self.calls = []


def record(name):
    def step(self):
        self.calls.append(name)
        if name == 'create':
            self.python.parent.mkdir(exist_ok=True)
            self.python.touch()
        if name == self.broken:
            raise SetupError(f'{name} broke')

    return step


for name in STEPS:
    setattr(Recorder, name, record(name))


# What must be there before anything is installed


@pytest.mark.parametrize('version', [(3, 9, 1), (3, 13, 0), (2, 7, 18)])
def test_other_pythons_are_refused(version):
    with pytest.raises(SetupError, match=f'got {version[0]}.{version[1]}:'):
        setup_env.check_python(version)


@pytest.mark.parametrize('version', [(3, 10, 0), (3, 11, 7), (3, 12, 1)])
def test_supported_pythons_pass(version):
    setup_env.check_python(version)


def test_a_full_disk_is_refused(monkeypatch, tmp_path):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(
        setup_env.shutil, 'disk_usage', lambda _: usage(9e9, 4e9, 5e9)
    )
    with pytest.raises(SetupError, match='but got 5.0 GB'):
        setup_env.check_disk(tmp_path)


def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(SetupError, match='No C.. compiler'):
        setup_env.check_compiler(tmp_path)


def test_missing_headers_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(setup_env.shutil, 'which', lambda name: name)
    with pytest.raises(SetupError, match='No Python.h found in'):
        setup_env.check_compiler(tmp_path)
    (tmp_path / 'Python.h').touch()
    setup_env.check_compiler(tmp_path)


def test_jobs_are_bounded_by_cores_and_memory(monkeypatch):
    memory = {'SC_PAGE_SIZE': 4096}
    monkeypatch.delenv('MAX_JOBS', raising=False)
    monkeypatch.setattr(setup_env.os, 'sysconf', memory.__getitem__)
    monkeypatch.setattr(
        setup_env.os, 'sched_getaffinity', lambda _: set(range(8))
    )
    for gigabytes, jobs in ((64, 8), (7, 3), (0.5, 1)):
        memory['SC_AVPHYS_PAGES'] = int(gigabytes * 1e9 / 4096)
        assert setup_env.count_jobs() == jobs
    monkeypatch.setenv('MAX_JOBS', '5')
    assert setup_env.count_jobs() == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    'cuda, found', [('13.0', True), ('13.2', True), ('12.8', False)]
)
def test_nvcc_must_be_of_torch_s_major_version(
    monkeypatch, tmp_path, cuda, found
):
    nvcc = tmp_path / 'bin' / 'nvcc'
    nvcc.parent.mkdir()
    nvcc.write_text('#!/bin/sh\necho "Cuda tools, release 13.1, V13.1.2"\n')
    nvcc.chmod(0o755)
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    monkeypatch.setattr(
        setup_env.shutil, 'which', lambda name: name == str(nvcc) or None
    )
    assert setup_env.find_nvcc(cuda) == (str(nvcc) if found else None)


# What a user may ask for


def test_each_stack_has_its_own_folder(monkeypatch):
    monkeypatch.delenv('MMKD_WHEELS', raising=False)
    assert setup_env.parse_args([]).venv == setup_env.ROOT / '.venv'
    args = setup_env.parse_args(['--stack', 'openmmlab'])
    assert args.venv == setup_env.ROOT / '.venv-openmmlab'
    assert args.find_links == ''


def test_wheels_are_named_by_folder_or_url(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('MMKD_WHEELS', 'https://example.org/wheels')
    assert setup_env.parse_args([]).find_links == os.environ['MMKD_WHEELS']
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'wheels').mkdir()
    args = setup_env.parse_args(['--find-links', 'wheels'])
    assert args.find_links == str(tmp_path / 'wheels')
    monkeypatch.setenv('MMKD_WHEELS', str(tmp_path / 'missing'))
    with pytest.raises(SystemExit):
        setup_env.parse_args([])
    assert 'missing' in capsys.readouterr().err


def test_both_stacks_are_pinned_and_complete():
    for stack in setup_env.STACKS:
        file = setup_env.ROOT / 'requirements' / f'{stack}.txt'
        pins = file.read_text().split()
        assert len(pins) == 4
        assert all('==' in pin for pin in pins)
        assert 'mmcv==' in Environment(Path('x'), stack).mmcv


# Whose folder it is, and when it is ready


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / 'pyvenv.cfg').touch()
    with pytest.raises(SetupError, match='found something else'):
        Environment(tmp_path, 'onedl').claim()


def test_a_folder_of_the_other_stack_is_refused(tmp_path):
    Environment(tmp_path, 'onedl').claim()
    Environment(tmp_path, 'onedl').claim()
    with pytest.raises(SetupError, match="found 'onedl'"):
        Environment(tmp_path, 'openmmlab').claim()


def test_all_steps_run_once(tmp_path):
    env = Recorder(tmp_path / 'venv', 'onedl')
    env.set_up()
    assert env.calls == list(STEPS)
    env.set_up()
    assert env.calls == list(STEPS)


@pytest.mark.parametrize('broken', STEPS)
def test_an_interrupted_set_up_is_not_ready_and_goes_on(tmp_path, broken):
    first = Recorder(tmp_path / 'venv', 'onedl')
    first.broken = broken
    with pytest.raises(SetupError, match=f'{broken} broke'):
        first.set_up()
    assert not first.is_ready()
    first.lock_file.close()
    second = Recorder(tmp_path / 'venv', 'onedl')
    second.set_up()
    assert second.calls == list(STEPS)
    assert second.is_ready()


def test_new_requirements_make_it_run_again(tmp_path):
    env = Recorder(tmp_path / 'venv', 'onedl')
    env.set_up()
    pins = tmp_path / 'onedl.txt'
    pins.write_text('onedl-mmcv==9.9.9\n')
    env.requirements[1] = pins
    assert not env.is_ready()


def test_going_back_to_older_requirements_is_not_ready(tmp_path):
    env = Recorder(tmp_path / 'venv', 'onedl')
    env.set_up()
    old, pins = env.requirements[1], tmp_path / 'onedl.txt'
    pins.write_text('onedl-mmcv==9.9.9\n')
    env.requirements[1] = pins
    env.broken = 'check'
    with pytest.raises(SetupError):
        env.set_up()
    env.requirements[1] = old
    assert not env.is_ready()


def test_a_second_set_up_waits_for_the_first(env, capsys):
    second = Environment(env.path, 'onedl')
    done = threading.Event()

    def wait():
        second.lock()
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not done.wait(0.2)
    fcntl.flock(env.lock_file, fcntl.LOCK_UN)
    assert done.wait(10)
    thread.join()
    second.lock_file.close()
    assert 'Waiting for another set-up' in capsys.readouterr().out


@pytest.mark.slow
def test_what_outlives_a_killed_set_up_still_holds_the_lock(env, tmp_path):
    end = tmp_path / 'end'
    orphan = (
        'import pathlib, time\n'
        f'while not pathlib.Path({str(end)!r}).exists(): time.sleep(0.05)'
    )
    parent = (
        'import subprocess, sys\n'
        f'subprocess.Popen([sys.executable, "-c", {orphan!r}], '
        'close_fds=False)'
    )
    try:
        env.run([sys.executable, '-c', parent], 'orphan')
        env.lock_file.close()
        with open(env.path / 'lock', 'w') as file:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end.touch()
            fcntl.flock(file, fcntl.LOCK_EX)
    finally:
        end.touch()


# Running commands


@pytest.mark.slow
def test_a_command_shows_signs_of_life(env, monkeypatch, capsys):
    monkeypatch.setattr(setup_env, 'BEAT', 0.2)
    code = 'import time; print("  [3/104] c++", flush=True); time.sleep(0.7)'
    assert env.run([sys.executable, '-c', code], 'slow')
    output = capsys.readouterr().out
    assert '0 min 00 s, 3/104 files compiled' in output


@pytest.mark.slow
def test_a_failed_command_shows_the_end_of_its_log(env, capsys):
    code = 'print(*range(100), sep="\\n"); raise SystemExit(3)'
    command = [sys.executable, '-c', code]
    with pytest.raises(SetupError, match='exit code 3: see .*fail.log'):
        env.run(command, 'fail')
    lines = capsys.readouterr().out.splitlines()
    assert lines == [str(i) for i in range(70, 100)]
    assert env.run(command, 'fail', hint=False) is False


@pytest.mark.parametrize(
    'log, remedy',
    [
        ('OSError: [Errno 28] No space left on device', 'disk is full'),
        ('NewConnectionError: [Errno -2]', 'check the network'),
        ('g++: fatal error: Killed signal terminated', 'MAX_JOBS=1'),
        ('ERROR: No matching distribution found for torch==2', 'no torch=='),
    ],
)
def test_known_failures_are_explained(log, remedy):
    assert remedy in setup_env.explain(log)


def test_an_unknown_failure_is_not_explained():
    assert setup_env.explain('SyntaxError: invalid syntax') is None


def test_pip_gets_the_links_and_its_own_environment(tmp_path, monkeypatch):
    monkeypatch.setenv('PIP_TARGET', '/elsewhere')
    monkeypatch.setenv('PYTHONPATH', '/elsewhere')
    env = Environment(tmp_path, 'onedl', find_links='/wheels')
    calls = []
    monkeypatch.setattr(
        env, 'run', lambda command, *_, **__: calls.append(command)
    )
    env.pip('install', 'torch', log='torch')
    assert calls[0][1:5] == ['-m', 'pip', 'install', 'torch']
    assert calls[0][-2:] == ['--find-links', '/wheels']
    assert not {'PIP_TARGET', 'PYTHONPATH'} & set(env.environ)
    assert env.environ['PATH'].startswith(str(env.python.parent))


def test_half_installed_distributions_are_removed(env):
    site = env.path / 'lib' / 'python3.11' / 'site-packages'
    whole, half = site / 'a-1.dist-info', site / 'b-1.dist-info'
    for place in (whole, half, site / '~rch', site / 'b'):
        place.mkdir(parents=True)
    (whole / 'RECORD').touch()
    env.drop_leftovers()
    assert sorted(p.name for p in site.iterdir()) == ['a-1.dist-info', 'b']


# mmcv


class FakePip:
    """Stands in for `Environment.pip`: makes wheels, notes the calls."""

    def __init__(self, env, offered):
        self.env = env
        self.offered = offered
        self.calls = []

    def __call__(self, *args, log, hint=True, **environ):
        self.calls.append((args[0], environ))
        if args[0] == 'download' and not self.offered:
            return False
        folder = self.env.wheels
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / 'onedl_mmcv-2.3.6.whl', 'w') as wheel:
            wheel.writestr('mmcv/__init__.py', '')
        return True


def prepare(env, monkeypatch, offered=False, torch='2.11.0', gpu='False'):
    answers = {'torch.__version__': torch, 'cuda': f'13.0 {gpu}'}
    monkeypatch.setattr(
        env,
        'ask',
        lambda code: next((v for k, v in answers.items() if k in code), '/'),
    )
    monkeypatch.setattr(setup_env, 'check_compiler', lambda include: None)
    for name in ('FORCE_CUDA', 'MAX_JOBS', 'CFLAGS', 'CUDA_VISIBLE_DEVICES'):
        monkeypatch.delenv(name, raising=False)
    pip = FakePip(env, offered)
    monkeypatch.setattr(env, 'pip', pip)
    return pip


def test_an_offered_wheel_saves_the_build(env, monkeypatch):
    pip = prepare(env, monkeypatch, offered=True)
    env.get_mmcv()
    assert [name for name, _ in pip.calls] == ['download']
    assert env.find_wheel().parent.name == 'torch-2.11.0'


def test_mmcv_is_built_once_for_each_torch(env, monkeypatch):
    pip = prepare(env, monkeypatch)
    env.get_mmcv()
    env.get_mmcv()
    assert [name for name, _ in pip.calls] == ['download', 'wheel']
    pip = prepare(env, monkeypatch, torch='2.12.0')
    env.get_mmcv()
    assert [name for name, _ in pip.calls] == ['download', 'wheel']


def test_a_wheel_that_was_cut_off_is_built_again(env, monkeypatch):
    pip = prepare(env, monkeypatch)
    env.get_mmcv()
    wheel = env.find_wheel()
    wheel.write_bytes(wheel.read_bytes()[:-30])
    env.get_mmcv()
    assert [name for name, _ in pip.calls] == ['download', 'wheel'] * 2


@pytest.mark.parametrize(
    'gpu, nvcc, force, cuda',
    [
        ('False', None, None, False),
        ('True', None, None, False),
        ('True', '/usr/bin/nvcc', None, True),
        ('True', '/usr/bin/nvcc', '0', False),
        ('False', None, '1', True),
    ],
)
def test_which_ops_are_built(env, monkeypatch, capsys, gpu, nvcc, force, cuda):
    pip = prepare(env, monkeypatch, gpu=gpu)
    monkeypatch.setattr(setup_env, 'find_nvcc', lambda version: nvcc)
    if force is not None:
        monkeypatch.setenv('FORCE_CUDA', force)
    env.get_mmcv()
    environ = pip.calls[-1][1]
    assert environ['MMCV_WITH_OPS'] == '1'
    assert environ['FORCE_CUDA'] == ('1' if cuda else '0')
    # Only a hidden GPU keeps mmcv from compiling for it.
    assert ('CUDA_VISIBLE_DEVICES' in environ) is not cuda
    warned = 'no nvcc of CUDA 13.0' in capsys.readouterr().out
    assert warned is (gpu == 'True' and not nvcc)
