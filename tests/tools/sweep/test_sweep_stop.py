"""A sweep that is stopped ends at once, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.sweeps import CONFIG, PLAN, REPO, journal, out, report

pytestmark = pytest.mark.slow
# The last run hangs when the others can be compared.
LATE = PLAN.replace(
    '\n)\n',
    "\n    late=dict(config='c.py', seeds=[0], baseline=None,"
    " cfg_options={'fake.mode': 'hangs'}),\n)\n",
    1,
).replace('[0, 1, 2]', '[0]')
# The command, with pretended trainings; MODE is what the page does where it
# predicts.
COMMAND = f"""
import pathlib, sys, time
sys.path.append('{REPO}/tools/sweep')
sys.argv[0] = 'sweep.py'
import page.examples, sweep, sweep_job, sweep_run
sweep_job.TRAIN = pathlib.Path('fake.py')
sweep_run.check_jobs = lambda *args: None
def predict(folder, mode=sys.argv.pop(2)):
    pathlib.Path('predicts').touch()
    if mode == 'slow':
        time.sleep(600)
    raise ValueError('nothing to predict with')
page.examples.predict = predict
sweep.main()
"""
# Of a config: hangs in the process that checks it, and nowhere else.
HANGS = """
import multiprocessing, os, pathlib, time
if multiprocessing.parent_process() is not None:
    pathlib.Path('new').write_text(str(os.getpid()))
    os.rename('new', 'checker')
    time.sleep(600)
"""


def start(*command):
    """Start Python, in which SIGINT is not ignored as in a background."""
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),
    )


def stop_when(process, there, number):
    """Send a signal when a condition holds; return what was printed."""
    end = time.monotonic() + 300
    while not there():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    # Far less than what hangs.
    return process.communicate(timeout=300)[0]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_stopped_training(place, number=signal.SIGTERM):
    Path('plan.py').write_text(LATE)
    command = ['-c', COMMAND, 'plan.py']
    process = start(*command, 'slow')
    late = out('late', 'seed_0', 'last_checkpoint')
    text = stop_when(process, late.is_file, number)
    assert process.returncode == 128 + number, text
    assert text.splitlines()[-1] == (
        f'Stopped by {number.name} before the page was written: give the same '
        'command to go on.'
    )
    assert 'Traceback' not in text
    assert not any(is_alive(pid) for (pid,) in journal(6))
    # Of what has finished; the page is left to the next start.
    assert report()['kd']['difference']['mean'] == 1.5
    assert '| kd ' in out('results.md').read_text()
    assert not Path('predicts').exists()
    assert not out('report.html').exists()

    process = start(*command, 'quick')
    text = process.communicate(timeout=300)[0]
    assert process.returncode == 0, text
    assert journal(0, 2)[-2:] == [('late', 1), ('late', 2)]
    assert Path('predicts').exists() and out('report.html').exists()


@pytest.mark.parametrize(
    'number, options',
    [(signal.SIGTERM, []), (signal.SIGINT, ['--report-only'])],
)
def test_a_stopped_page(place, number, options):
    """Its results are there; a page of before would not be of them."""
    Path('plan.py').write_text(PLAN.replace('[0, 1, 2]', '[0]'))
    process = start('-c', COMMAND, 'plan.py', 'quick')
    assert 'report.html' in process.communicate(timeout=300)[0]
    for path in (Path('predicts'), out('results.json')):
        path.unlink()
    process = start('-c', COMMAND, 'plan.py', 'slow', *options)
    text = stop_when(process, Path('predicts').exists, number)
    assert process.returncode == 128 + number, text
    assert f'Stopped by {number.name} before the page' in text
    assert 'Traceback' not in text
    assert report()['kd']['difference']['mean'] == 1.5
    assert not out('report.html').exists()


def test_a_stopped_check(place, number=signal.SIGINT):
    Path('plan.py').write_text(PLAN)
    Path('c.py').write_text(f"{CONFIG}custom_imports = dict(imports='hangs')")
    Path('hangs.py').write_text(HANGS)
    process = start(str(REPO / 'tools/sweep/sweep.py'), 'plan.py')
    text = stop_when(process, Path('checker').exists, number)
    assert process.returncode == 128 + number, text
    assert f'Stopped by {number.name}' in text and 'Traceback' not in text
    assert not is_alive(int(Path('checker').read_text()))
    assert not list(out().glob('*/seed_*'))
