"""What is trained, when, and what happens when it fails or is stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import sweep
import sweep_queue

from tests.helpers.sweeps import (
    HANGING,
    NEEDY,
    PLAN,
    REPO,
    journal,
    out,
    report,
    result,
    send_when,
)

pytestmark = pytest.mark.slow


def test_seeds_are_finished_one_after_another(do):
    assert do(PLAN) == 0
    assert journal(0, 1) == [
        (name, seed) for seed in (0, 1, 2) for name in ('student', 'kd')
    ]
    assert do(PLAN) == 0
    assert len(journal(0)) == 6, 'finished runs were run again'


@pytest.mark.parametrize('jobs', ['1', '2', '5'])
def test_needed_runs_come_first(do, jobs):
    assert do(NEEDY.replace('MODE', 'slow'), '--jobs', jobs) == 0
    order = journal(0, 1)
    assert order.index(('grand', 7)) < order.index(('teacher', 5))
    assert order.index(('teacher', 5)) < order.index(('student', 0))
    if jobs == '1':
        assert order[2:] == [
            ('student', 0), ('alone', 0), ('student', 1), ('alone', 1)
        ]  # fmt: skip
    weights = dict(zip(order, journal(3)))
    assert weights['student', 1] == (
        str(out('teacher', 'seed_5', 'epoch_9.pth').resolve()),
    )


def test_nothing_is_started_without_what_it_needs(do, capsys):
    assert do(NEEDY.replace('MODE', 'fails')) == 1
    assert journal(0, 1) == [
        ('grand', 7), ('teacher', 5), ('alone', 0), ('alone', 1)
    ]  # fmt: skip
    assert 'student, seed 1, not started: it needs teacher' in (
        capsys.readouterr().out
    )


def test_slots(do):
    """Never more at once than asked, each with its GPU and its cores."""
    cores = len(os.sched_getaffinity(0))
    assert do(PLAN, '--gpus', '3,4', '--jobs', '2') == 0
    gpus, threads = zip(*journal(4, 5))
    assert {*gpus} == {'3', '4'}
    assert {*threads} == {str(max(cores // 2, 1))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('OMP_NUM_THREADS', '7')
        env = sweep_queue.make_env(None, 2, REPO)
        assert env['OMP_NUM_THREADS'] == '7'
        assert 'CUDA_VISIBLE_DEVICES' not in env
    for args in (['--gpus', '3', '--jobs', '2'], ['--jobs', '0']):
        assert do(PLAN, *args) == 2


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request):
    """A signal that is not ignored, as SIGINT is in a shell's background."""
    before = signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


def test_a_stopped_sweep_goes_on(do, number, capsys):
    handler = signal.getsignal(number)
    kd = out('kd', 'seed_0')
    thread = send_when(number, (kd / 'last_checkpoint').is_file)
    assert do(HANGING) == 128 + number
    thread.join()
    assert signal.getsignal(number) is handler
    assert 'give the same command' in capsys.readouterr().out
    (attempt,) = json.loads((kd / 'attempts.json').read_text())
    assert attempt['exit_code'] == -signal.SIGTERM
    # The report of what is there has been written.
    assert report()['student']['last'] == {'0': 70}
    assert report()['kd']['last'] == {}

    # Other runs hang in their turn, and are begun once more.
    hanging = HANGING.replace('[0, 1, 2]', '[0]')
    assert do(hanging) == 0
    assert journal(0, 1, 2) == [
        ('student', 0, 1), ('kd', 0, 1), ('kd', 0, 2)
    ]  # fmt: skip
    left = result('kd', 'seed_0')
    assert len(left['attempts']) == 2
    seconds = sum(attempt['seconds'] for attempt in left['attempts'])
    assert left['seconds'] == pytest.approx(seconds)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_when_its_trainings_have_ended(do, place):
    (place / 'plan.py').write_text(HANGING)
    code = (
        'import sys, pathlib\n'
        f"sys.path.append('{REPO}/tools/sweep')\n"
        "sys.argv = ['sweep.py', 'plan.py']\n"
        'import sweep, sweep_job, sweep_run\n'
        "sweep_job.TRAIN = pathlib.Path('fake.py')\n"
        'sweep_run.check_jobs = lambda *args: None\n'
        'sweep.main()\n'
    )
    process = subprocess.Popen([sys.executable, '-c', code])
    end = time.monotonic() + 120
    while not out('kd', 'seed_0', 'last_checkpoint').is_file():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.wait()
    message = do(HANGING)
    assert 'is at work' in message and str(out().resolve()) in message
    os.kill(journal(6)[-1][0], signal.SIGKILL)
    plan = HANGING.replace('[0, 1, 2]', '[0]')
    while 'is at work' in str(code := do(plan)):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert code == 0
    kd = result('kd', 'seed_0')
    assert [a['seconds'] is None for a in kd['attempts']] == [True, False]
    assert kd['seconds'] is None


def test_others_go_on_when_one_fails(do, capsys):
    plan = PLAN.replace("'fake.gain': 1.5", "'fake.mode': 'fails_once'")
    assert do(plan) == 1
    assert len(journal(0)) == 6
    text = capsys.readouterr().out
    log = out('kd', 'seed_2', 'run.log').resolve()
    # As it happens, and once more at the end.
    line = f'kd, seed 2, failed: error: Out of milk. ({log})'
    assert text.count(line) == 2
    assert '| kd      | 0 of 3 |' in text
    assert do(plan) == 0
    assert report()['kd']['last'] == {'0': 70, '1': 71, '2': 72}


def test_metric_that_is_not_logged(do, capsys):
    assert do(PLAN.replace('accuracy/top1', 'accuracy/top2')) == 1
    assert "it has no 'accuracy/top2' in" in capsys.readouterr().out


def test_missing_plan_and_unfit_folder(do, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['sweep.py', 'none.py'])
    with pytest.raises(SystemExit, match="'none.py' was not found"):
        sweep.main()
    plan = NEEDY.replace('MODE', 'ok')
    assert 'choose a folder of' in do(plan, '--out', 'a b')


PLANS = [
    path
    for path in sorted((REPO / 'tools/sweep/plans').glob('*.py'))
    if 'runs = ' in path.read_text()  # others are modules that plans name
]


@pytest.mark.parametrize('plan', PLANS, ids=lambda path: path.stem)
def test_settings_of_a_plan_can_be_read(plan, tmp_path):
    """As the command reads them; nothing is started."""
    done = subprocess.run(
        [sys.executable, '-c', NO_TRAINING, str(plan), '--out', str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=REPO,
        env=dict(os.environ, PYTHONPATH=str(REPO)),
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert 'to train: [' in done.stdout


# Runs the command with a stand-in for the processes.
NO_TRAINING = """
import sys
sys.path.insert(0, 'tools/sweep')
import sweep, sweep_run
def read_plan(path, read_plan=sweep.read_plan):
    plan = read_plan(path)
    # One run per config, and those that it is compared with or needs.
    runs = {run.config: run for run in plan.runs.values()}.values()
    names = {
        n
        for r in runs
        for n in (r.name, r.baseline, *r.needs, *r.controls)
    }
    plan.runs = {name: plan.runs[name] for name in plan.runs if name in names}
    return plan
def train_all(jobs, *args, **kwargs):
    print('to train:', [job.name for job in jobs])
    return []
sweep.read_plan, sweep_run.train_all = read_plan, train_all
sweep_run.check_jobs = lambda *args: None
sweep.main()
"""
