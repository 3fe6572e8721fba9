"""A set-up that is stopped leaves no process behind."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import running

INSTALL = Path(running.__file__).parent
# As ninja: children in process groups of their own; this one is stubborn.
BUILD = """
import os, subprocess, sys
code = 'import signal, time; signal.signal(15, signal.SIG_IGN); '
code += f'open({sys.argv[1]!r}, "w").close(); time.sleep(600)'
subprocess.run([sys.executable, '-c', code], preexec_fn=os.setpgrp)
"""
# The real command, with a build as its first step.
SET_UP = """
import sys
import running, setup_env
venv, build, started = sys.argv[1:]
running.GRACE = 0.5
setup_env.Environment.create = lambda env: env.run(
    [sys.executable, '-c', build, started], 'build'
)
sys.argv[1:] = ['--venv', venv]
setup_env.main()
"""


@pytest.fixture
def started(tmp_path):
    """A file that the build makes once all of its processes run."""
    return tmp_path / 'started'


@pytest.fixture
def command(tmp_path, started):
    venv = str(tmp_path / 'venv')
    return [sys.executable, '-c', SET_UP, venv, BUILD, str(started)]


def wait_for(condition):
    while not condition():
        time.sleep(0.02)


def find_builds(started):
    """Returns the ids of the processes that name the file."""
    found = []
    for place in Path('/proc').glob('[0-9]*'):
        try:
            line = (place / 'cmdline').read_bytes()
        except OSError:
            continue
        if str(started).encode() in line:
            found.append(int(place.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize('number', running.STOPS)
def test_a_signal_ends_the_build(command, started, number):
    env = dict(os.environ, PYTHONPATH=str(INSTALL))
    set_up = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, text=True
    )
    wait_for(started.exists)
    assert len(find_builds(started)) == 3
    set_up.send_signal(number)
    set_up.send_signal(number)  # as of an impatient user
    output = set_up.communicate()[0]
    assert set_up.returncode == 128 + number
    assert output.splitlines()[-1] == (
        'Interrupted: run it again to go on from here.'
    )
    assert find_builds(started) == []


@pytest.mark.slow
def test_a_closed_terminal_ends_the_build(command, started):
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ['PYTHONPATH'] = str(INSTALL)
        os.execv(command[0], command)
    wait_for(started.exists)
    assert len(find_builds(started)) == 3
    os.close(terminal)
    os.waitpid(pid, 0)
    assert find_builds(started) == []


@pytest.mark.slow
def test_what_ignored_a_closed_terminal_still_does(command, started):
    """As under nohup."""
    env = dict(os.environ, PYTHONPATH=str(INSTALL))
    set_up = subprocess.Popen(
        command,
        env=env,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    wait_for(started.exists)
    set_up.send_signal(signal.SIGHUP)
    set_up.send_signal(signal.SIGTERM)
    assert set_up.wait() == 128 + signal.SIGTERM


@pytest.mark.slow
def test_an_error_while_it_waits_ends_the_command(monkeypatch, started):
    """As when the reader of the output is gone."""
    monkeypatch.setattr(running, 'GRACE', 0.2)

    def tell():
        wait_for(started.exists)
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        running.run(
            [sys.executable, '-c', BUILD, str(started)],
            beat=0.05,
            on_beat=tell,
        )
    assert find_builds(started) == []


def test_a_signal_between_start_and_name_is_put_off():
    stopper = running.Stopper()
    done = []
    with pytest.raises(running.Interrupted) as error, stopper.hold():
        stopper.stop(signal.SIGTERM)
        done.append(True)
    assert done
    assert error.value.number == signal.SIGTERM
    # What comes later must not disturb the ending.
    stopper.stop(signal.SIGINT)
    with stopper.hold():
        stopper.stop(signal.SIGINT)


def test_a_signal_is_raised_at_once_elsewhere():
    with pytest.raises(running.Interrupted):
        running.Stopper().stop(signal.SIGINT)
