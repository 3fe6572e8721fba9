"""The set-up, without a network: stand-ins for pip and the compiler."""

import fcntl
import os
import sys
import threading
from pathlib import Path

import pytest
import setup_env
from setup_env import Environment, SetupError

STEPS = ('create', 'install_torch', 'get_mmcv', 'install_stack', 'check')


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
        assert 'mmcv==' in Environment(Path('x'), stack).mmcv.pin


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


# Which Python, and which torch


@pytest.fixture
def offers(monkeypatch, env):
    """The pairs of Python and torch that a place has a wheel for."""
    offers = set()
    monkeypatch.setattr(
        env.mmcv,
        'find_offer',
        lambda pair: 'Here' if pair[:2] in offers else None,
    )
    monkeypatch.setattr(setup_env.sys, 'version_info', (3, 11, 7))
    found = {(3, 11): 'mine', (3, 12): 'other'}
    monkeypatch.setattr(setup_env, 'find_python', found.get)
    return offers


@pytest.mark.parametrize(
    'there, python, pins',
    [
        ([], 'mine', 'torch'),
        ([((3, 11), 'torch')], 'mine', 'torch'),
        ([((3, 12), 'torch'), ((3, 12), 'torch-2.10')], 'other', 'torch'),
        ([((3, 12), 'torch-2.10')], 'other', 'torch-2.10'),
        ([((3, 12), 'torch-2.10'), ((3, 11), 'torch')], 'mine', 'torch'),
    ],
)
def test_a_pair_with_a_wheel_is_chosen(env, offers, there, python, pins):
    offers.update(there)
    if not there:
        assert env.choose() == setup_env.sys.executable
    else:
        assert env.choose() == python
    assert env.requirements[0].stem == pins
    # A set-up that goes on, and the next one, keep to it.
    again = Environment(env.path, 'onedl')
    assert again.requirements == env.requirements


def test_the_choice_is_one_line_with_its_reason(env, offers, capsys):
    env.choose()
    offers.add(((3, 12), 'torch-2.10'))
    env.choose()
    default, other = capsys.readouterr().out.splitlines()
    assert default == (
        '   Python 3.11 with torch 2.11.0, the pair that all is tried with: '
        'no wheel of onedl-mmcv==2.3.6 was found for any pair at hand'
    )
    assert other == (
        '   Python 3.12 with torch 2.10.0, a pair that was not tried: Here '
        'has a wheel of onedl-mmcv==2.3.6 for it (all is tried with Python '
        '3.11 with torch 2.11.0)'
    )


def test_a_python_that_is_asked_for_is_kept(env, offers):
    offers.add(((3, 12), 'torch-2.10'))
    env.keep_python = True
    assert env.choose() == setup_env.sys.executable
    assert env.requirements[0].stem == 'torch'


@pytest.mark.parametrize('keep', [True, False])
def test_a_python_that_is_not_supported_is_not_chosen(
    env, offers, monkeypatch, keep
):
    env.keep_python = keep
    monkeypatch.setattr(setup_env.sys, 'version_info', (3, 13, 0))
    offers.add(((3, 13), 'torch'))
    with pytest.raises(SetupError, match='got 3.13'):
        env.choose()
    assert not env.chosen.exists()


def test_a_choice_that_is_none_is_the_default(env):
    env.chosen.write_text('../nonsense')
    again = Environment(env.path, 'onedl')
    assert again.requirements[0].stem == 'torch'


def test_the_other_stack_keeps_the_default_torch(tmp_path):
    (tmp_path / 'torch.txt').write_text('torch-2.10')
    again = Environment(tmp_path, 'openmmlab')
    assert again.requirements[0].stem == 'torch'


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


def test_pip_gets_the_sub_folders_of_wheels(tmp_path):
    for name in ('a/x.whl', 'a/b/y.whl', 'c/z.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    assert setup_env.list_folders(str(tmp_path)) == [
        str(tmp_path),
        str(tmp_path / 'a'),
        str(tmp_path / 'a' / 'b'),
    ]
    assert setup_env.list_folders('https://x/y') == ['https://x/y']
    assert setup_env.list_folders('') == []


def test_half_installed_distributions_are_removed(env):
    site = env.path / 'lib' / 'python3.11' / 'site-packages'
    whole, half = site / 'a-1.dist-info', site / 'b-1.dist-info'
    for place in (whole, half, site / '~rch', site / 'b'):
        place.mkdir(parents=True)
    (whole / 'RECORD').touch()
    env.drop_leftovers()
    assert sorted(p.name for p in site.iterdir()) == ['a-1.dist-info', 'b']
