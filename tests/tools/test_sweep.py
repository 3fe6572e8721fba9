"""Sweeps of pretended trainings, and of a real one of a toy."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip('scipy')
pytest.importorskip('matplotlib')

REPO = Path(__file__).parents[2]
sys.path.append(str(REPO / 'tools'))

import sweep  # noqa: E402
import sweep_job  # noqa: E402
import sweep_plan  # noqa: E402
import sweep_plot  # noqa: E402
import sweep_report  # noqa: E402

# Takes the arguments of tools/train.py; `fake` in the config tells what to
# do. The file `journal` gets a line for each start.
FAKE = """
import json, os, pathlib, sys, time
work = pathlib.Path(sys.argv[sys.argv.index('--work-dir') + 1])
options = dict(
    option.split('=', 1)
    for option in sys.argv[sys.argv.index('--cfg-options') + 1:])
name, seed = work.parent.name, int(options['randomness.seed'])
step = 2 if '--resume' in sys.argv else 1
line = [name, seed, step, options.get('fake.weights'), os.environ.get(
    'CUDA_VISIBLE_DEVICES'), os.environ['OMP_NUM_THREADS'], os.getpid()]
with open('journal', 'a') as journal:
    journal.write(json.dumps(line) + '\\n')
(work / 'last_checkpoint').write_text(str(work / f'epoch_{step}.pth'))
mode = options.get('fake.mode', 'ok')
if step == 1 and mode == 'hangs':
    time.sleep(60)
if mode == 'fails' or mode == 'fails_once' and step == 1:
    sys.exit('error: Out of milk.')
if mode == 'slow':
    time.sleep(0.5)
    (work / 'last_checkpoint').write_text(str(work / 'epoch_9.pth'))
log = work / f'2026_{step}' / 'vis_data' / 'scalars.json'
log.parent.mkdir(parents=True)
value = 70 + seed + float(options.get('fake.gain', 0))
log.write_text(
    json.dumps({'loss': 1.0, 'step': 3}) + '\\n'
    + json.dumps({'accuracy/top1': value + 2, 'top5': 9.0, 'step': 1}) + '\\n'
    + json.dumps({'accuracy/top1': value, 'top5': 8.0, 'step': 2}) + '\\n')
"""
CONFIG = "fake = dict(mode='ok', gain=0.0, weights='')\n"
PLAN = """
runs = dict(
    student=dict(config='c.py'),
    kd=dict(config='c.py', cfg_options={'fake.gain': 1.5}),
)
seeds = [0, 1, 2]
metric = 'accuracy/top1'
baseline = 'student'
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a config, where trainings are pretended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(REPO))
    for name in ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS'):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / 'fake.py').write_text(FAKE)
    (tmp_path / 'c.py').write_text(CONFIG)
    monkeypatch.setattr(sweep_job, 'TRAIN', tmp_path / 'fake.py')
    monkeypatch.setattr(sweep, 'PAUSE', 0.01)
    return tmp_path


def run(monkeypatch, plan, *args):
    """Give the command; return its exit code or its message."""
    Path('plan.py').write_text(plan)
    monkeypatch.setattr(sys, 'argv', ['sweep.py', 'plan.py', *args])
    try:
        sweep.main()
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def do(place, monkeypatch):
    return lambda plan, *args: run(monkeypatch, plan, *args)


def journal(*columns):
    lines = Path('journal').read_text().splitlines()
    lines = [json.loads(line) for line in lines]
    return [tuple(line[i] for i in columns) for line in lines]


def out(*parts):
    return Path('work_dirs', 'sweeps', 'plan', *parts)


def result(*parts):
    return json.loads(out(*parts, 'result.json').read_text())


def report():
    return json.loads(out('results.json').read_text())['runs']


def at_signal(number, when):
    """Send this process a signal as soon as `when()` is true."""

    def wait():
        end = time.monotonic() + 120
        while not when() and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


# What is trained, and when.


def test_seeds_are_finished_one_after_another(do):
    assert do(PLAN) == 0
    assert journal(0, 1) == [
        (name, seed) for seed in (0, 1, 2) for name in ('student', 'kd')
    ]
    assert do(PLAN) == 0
    assert len(journal(0)) == 6, 'finished runs were run again'


def test_what_a_run_leaves(do):
    assert do(PLAN, '--out', 'here') == 0
    folder = Path('here', 'kd', 'seed_1').resolve()
    left = json.loads((folder / 'result.json').read_text())
    assert left['metric'] == 'accuracy/top1'
    assert [left['last'], left['last_step']] == [72.5, 2]
    assert [left['best'], left['best_step']] == [74.5, 1]
    (attempt,) = left['attempts']
    assert attempt['command'][2:] == [
        'c.py', '--work-dir', str(folder), '--cfg-options', 'fake.gain=1.5',
        'randomness.seed=1',
    ]  # fmt: skip
    assert attempt['exit_code'] == 0
    assert left['seconds'] == attempt['seconds'] > 0
    assert (folder / 'run.log').read_text() == ''
    found = subprocess.run(
        ['git', 'rev-parse', 'HEAD'], cwd=REPO, capture_output=True, text=True
    )
    if found.returncode == 0:
        assert attempt['commit'].startswith(found.stdout.strip())


NEEDY = """
runs = dict(
    student=dict(config='c.py', cfg_options={
        'fake.weights': '{runs.teacher}'}),
    teacher=dict(config='c.py', seeds=[5], baseline=None, cfg_options={
        'fake.weights': '{runs.grand}', 'fake.mode': 'MODE'}),
    alone=dict(config='c.py'),
    grand=dict(config='c.py', seeds=[7], baseline=None),
)
seeds = [0, 1]
metric = 'accuracy/top1'
baseline = 'alone'
"""


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
    assert 'student, seed 1, not started: it needs teacher.' in (
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
        assert sweep.make_env(None, 2)['OMP_NUM_THREADS'] == '7'
        assert 'CUDA_VISIBLE_DEVICES' not in sweep.make_env(None, 2)
    for args in (['--gpus', '3', '--jobs', '2'], ['--jobs', '0']):
        assert do(PLAN, *args) == 2


# Interruptions.


HANGING = PLAN.replace("'fake.gain': 1.5", "'fake.mode': 'hangs'")


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_goes_on(do, number, capsys):
    handler = signal.getsignal(number)
    kd = out('kd', 'seed_0')
    thread = at_signal(number, (kd / 'last_checkpoint').is_file)
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


def test_a_killed_sweep_goes_on_when_its_trainings_have_ended(do, place):
    (place / 'plan.py').write_text(HANGING)
    code = (
        'import sys, pathlib\n'
        f"sys.path.append('{REPO}/tools')\n"
        "sys.argv = ['sweep.py', 'plan.py']\n"
        'import sweep, sweep_job\n'
        "sweep_job.TRAIN = pathlib.Path('fake.py')\n"
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


def test_a_training_that_takes_too_long(do, capsys):
    plan = HANGING.replace('[0, 1, 2]', '[0]')
    assert do(plan, '--timeout', '0.5') == 1
    assert 'kd, seed 0, failed: stopped after' in capsys.readouterr().out
    assert do(plan) == 0


# Other settings.


@pytest.mark.parametrize(
    'change', ['option', 'common', 'config', 'weights', 'teacher']
)
def test_other_settings_are_refused(do, place, change):
    weights = place / 'w.pth'
    weights.write_bytes(b'1')
    plan = NEEDY.replace('MODE', 'ok') + "common = {'model.weights': 'W'}\n"
    plan = plan.replace('W', str(weights))
    (place / 'c.py').write_text(CONFIG + 'model = dict()\n')
    assert do(plan) == 0
    count = len(journal(0))
    if change == 'option':
        plan = plan.replace(
            "alone=dict(config='c.py'",
            "alone=dict(config='c.py', cfg_options={'fake.gain': 2}",
        )
        expected = 'config.fake.gain was 0.0 and is 2'
    elif change == 'common':
        plan = plan.replace('common = {', "common = {'fake.gain': 3, ")
        expected = 'config.fake.gain was 0.0 and is 3'
    elif change == 'config':
        (place / 'c.py').write_text(CONFIG + 'model = dict(depth=[1, 2])\n')
        expected = 'config.model.depth was None and is [1, 2]'
    elif change == 'weights':
        weights.write_bytes(b'2')
        expected = 'files.w.pth was '
    else:
        # Once its folder is gone, those that needed it are in the way.
        plan = plan.replace("'fake.mode': 'ok'", "'fake.mode': 'good'")
        for name in ('result.json', 'last_checkpoint'):
            out('teacher', 'seed_5', name).unlink()
        expected = "needs.teacher.config.fake.mode was 'ok' and is 'good'"
    message = do(plan)
    assert expected in message
    assert message.startswith('error: ') and '\n' not in message
    assert len(journal(0)) == count


def test_what_has_left_nothing_may_be_changed(do):
    plan = PLAN.replace('[0, 1, 2]', '[0]')
    assert do(plan) == 0
    folder = out('student', 'seed_0')
    for name in ('result.json', 'last_checkpoint'):
        (folder / name).unlink()
    (folder / '2026_1').rename(folder / '2026_9')
    plan = plan.replace("'c.py')", "'c.py', cfg_options={'fake.gain': 9})")
    assert do(plan) == 0
    # The old log, whose name is later, is not mixed with the new one.
    assert report()['student']['last'] == {'0': 79}


def test_everything_may_be_moved(do, place, monkeypatch):
    (place / 'here').mkdir()
    monkeypatch.chdir(place / 'here')
    Path('c.py').write_text(CONFIG + "x = '{{ fileDirname }}/w.pth'\n")
    Path('w.pth').touch()
    assert do(PLAN) == 0
    (place / 'here').rename(place / 'there')
    monkeypatch.chdir(place / 'there')
    assert do(PLAN) == 0
    assert len(journal(0)) == 6


def test_settings_changed_meanwhile(do, place, monkeypatch, capsys):
    start = sweep_job.Job.start

    def change_then_start(job, *args):
        if job.seed == 2:
            (place / 'c.py').write_text(CONFIG + 'other = 1\n')
        start(job, *args)

    monkeypatch.setattr(sweep_job.Job, 'start', change_then_start)
    assert do(PLAN) == 1
    assert 'config.other was None and is 1' in capsys.readouterr().out
    assert {seed for (seed,) in journal(1)} == {0, 1}


# Failures.


def test_others_go_on_when_one_fails(do, capsys):
    plan = PLAN.replace("'fake.gain': 1.5", "'fake.mode': 'fails_once'")
    assert do(plan) == 1
    assert len(journal(0)) == 6
    text = capsys.readouterr().out
    assert text.count('    error: Out of milk.') == 3
    log = out('kd', 'seed_2', 'run.log').resolve()
    assert f'kd, seed 2, failed: exit code 1, see {log}.' in text
    assert '| kd      | 0 of 3 |' in text
    assert do(plan) == 0
    assert report()['kd']['last'] == {'0': 70, '1': 71, '2': 72}


def test_metric_that_is_not_logged(do, capsys):
    assert do(PLAN.replace('accuracy/top1', 'accuracy/top2')) == 1
    assert "it has no 'accuracy/top2' in" in capsys.readouterr().out


@pytest.mark.parametrize(
    'old, new, expected',
    [
        ('seeds =', 'seed =', "did you mean 'seeds'?"),
        ('seeds = [0, 1, 2]', '', "needs 'seeds'"),
        ('[0, 1, 2]', '[0, 0]', 'got [0, 0]'),
        ('[0, 1, 2]', "['a']", "got ['a']"),
        ('student=', "**{'a/b': {}}, student=", "but got 'a/b'"),
        ('config=', 'cfg=', "The run 'student' must have config"),
        ("= 'student'", "= 'teacher'", "The baseline 'teacher'"),
        ('fake.gain', 'fake.gain.x', 'does not fit the config'),
        ('fake.gain', 'fale.gain', 'did you mean fake?'),
        ('1.5', "'{runs.student}'", 'with one seed'),
        ('1.5', "'{runs.nobody}'", 'with one seed'),
        ('1.5', 'dict(a=1)', 'cannot set fake.gain'),
        ('1.5', "'a b'", 'cannot set fake.gain'),
        ('1.5', "'[a,'", 'cannot set fake.gain'),
        ("'c.py'", "'none.py'", "The config file 'none.py' was not found"),
        ('runs = dict(', 'runs = dict((', 'could not be read'),
        (
            "student=dict(config='c.py'",
            "student=dict(config='c.py', seeds=[0], cfg_options={"
            "'fake.mode': '{runs.student}'}",
            'student -> student need one another',
        ),
    ],
)
def test_mistakes_in_a_plan(do, old, new, expected):
    assert old in PLAN
    message = do(PLAN.replace(old, new))
    assert message.startswith('error: ') and expected in message
    assert not Path('journal').exists()


def test_missing_plan_and_unfit_folder(do, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['sweep.py', 'none.py'])
    with pytest.raises(SystemExit, match="'none.py' was not found"):
        sweep.main()
    plan = NEEDY.replace('MODE', 'ok')
    assert 'choose a folder of' in do(plan, '--out', 'a b')


def test_values_reach_the_command_as_they_are():
    for value in (
        1, -2.5, 1e-4, True, None, 'word', '/a/b.pth', [1, 2], (3,), [],
        [(1, 2), ['a', 'b']], (640, 480),
    ):  # fmt: skip
        assert sweep_plan._can_be_given('a.b', value), value
    for value in ({}, 'a,b', '12', ' a', [{}], "'a'", ''):
        wanted = value == ''
        assert sweep_plan._can_be_given('a.b', value) == wanted, value


# The report.


def test_interval():
    # Of Student's tables: t(0.975) is 12.706 and 4.303 for 1 and 2 degrees.
    mean, low, high = sweep_report.interval([1.0, 2.0])
    assert (mean, high - mean) == pytest.approx((1.5, 12.706 * 0.5), rel=1e-4)
    mean, low, high = sweep_report.interval([1.0, 2.0, 6.0])
    # Standard deviation sqrt((4 + 1 + 9) / 2), over sqrt(3).
    half = 4.303 * (7 / 3) ** 0.5
    assert (mean, low, high) == pytest.approx(
        (3, 3 - half, 3 + half), rel=2e-4
    )
    assert sweep_report.interval([4.0]) == (4, None, None)


def write_results(values, best=99.0, metric='accuracy/top1'):
    for name, by_seed in values.items():
        for seed, value in by_seed.items():
            folder = out(name, f'seed_{seed}')
            folder.mkdir(parents=True, exist_ok=True)
            content = dict(
                metric=metric,
                last=value,
                best=best,
                attempts=[dict(commit='abc')],
            )
            (folder / 'result.json').write_text(json.dumps(content))


def test_report_of_an_unfinished_sweep(do):
    write_results(
        dict(student={0: 70.0, 1: 71.0, 2: 75.0}, kd={2: 76.0, 0: 73.0})
    )
    assert do(PLAN, '--report-only') == 0
    assert not Path('journal').exists()
    rows = report()
    assert rows['student']['mean'] == 72
    assert rows['student']['std'] == pytest.approx(7**0.5)
    assert rows['student']['difference'] is None
    gain = rows['kd']['difference']
    assert gain['values'] == {'0': 3, '2': 1}
    # Standard deviation sqrt(2), over sqrt(2); t of one degree.
    assert (gain['mean'], gain['high']) == pytest.approx(
        (2, 2 + 12.706), rel=1e-4
    )
    lines = out('results.md').read_text().splitlines()
    assert lines[0] == 'accuracy/top1 at the last validation.'
    cells = [
        [cell.strip() for cell in line.split('|')[1:-1]] for line in lines[4:6]
    ]
    assert cells == [
        ['student', '3', '72.00', '2.65', '', '', ''],
        [
            'kd', '2 of 3', '74.50', '2.12', '+2.00', '-10.71 to +14.71',
            'student',
        ],
    ]  # fmt: skip
    assert lines[-1] == 'Code: abc.'
    assert len({len(line) for line in lines[2:6]}) == 1


def test_report_says_how_few_the_pairs_are(do):
    write_results(dict(student={1: 0.5}, kd={0: 0.4, 1: 0.5125}))
    assert do(PLAN, '--report-only') == 0
    line = out('results.md').read_text().splitlines()[5]
    cells = [cell.strip() for cell in line.split('|')[1:-1]]
    assert cells[4:] == ['+0.0125', '', 'student (1 of 2 seeds)']


def test_report_of_nothing(do):
    assert do(PLAN, '--report-only') == 0
    assert '| student | 0 of 3 |' in out('results.md').read_text()
    assert not out('results.png').exists()


def test_metric_may_be_changed_afterwards(do):
    plan = PLAN.replace("'accuracy/top1'", "'top5'")
    assert do(PLAN) == 0
    assert do(plan, '--report-only') == 0
    assert report()['kd']['last'] == {'0': 8, '1': 8, '2': 8}
    assert report()['kd']['best'] == {'0': 9, '1': 9, '2': 9}


def test_what_was_validated_twice_counts_as_it_was_last(tmp_path):
    for name, text in {
        'b': '{"map": 0.4, "step": 2}\n{"map": 0.5, "step": 3}\n{"ma',
        'a': '{"map": 0.7, "step": 1}\n{"map": 0.3, "step": 2}\n',
    }.items():
        (tmp_path / name / 'vis_data').mkdir(parents=True)
        (tmp_path / name / 'vis_data' / 'scalars.json').write_text(text)
    values = sweep_report.read_metric(tmp_path, 'map')
    assert list(values.items()) == [(1, 0.7), (2, 0.4), (3, 0.5)]
    assert sweep_report.summarize_metric(values) == dict(
        last=0.5, last_step=3, best=0.7, best_step=1
    )


def test_picture(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    def row(baseline, values, low=None, high=None):
        mean = sum(values) / len(values)
        return dict(
            difference=dict(
                baseline=baseline,
                values=dict(enumerate(values)),
                mean=mean,
                low=low,
                high=high,
            )
        )

    shown = []
    monkeypatch.setattr(plt, 'close', lambda figure: shown.append(figure))
    rows = dict(
        small=dict(difference=None),
        kd=row('small', [1.0, 2.0], -4.9, 7.9),
        other=row('large', [-1.0]),
        ckd=row('small', [3.0, 3.5, 4.0], 2.0, 5.0),
    )
    sweep_plot.draw(tmp_path / 'picture.png', rows, 'accuracy/top1')
    (figure,) = shown
    first, second = figure.axes
    labels = [text.get_text() for text in first.get_yticklabels()]
    assert labels == ['kd', 'ckd']
    assert [axis.get_title('left') for axis in figure.axes] == [
        'against small', 'against large'
    ]  # fmt: skip
    assert second.get_xlabel() == 'difference in accuracy/top1'
    dots = first.collections[0].get_offsets()
    assert sorted(dots[:, 0]) == [1, 2]
    # Intervals are there for several seeds only.
    assert len(first.containers) == 2 and not second.containers
    bar = first.containers[1].lines[2][0].get_segments()[0]
    assert list(bar[:, 0]) == [2, 5]
    assert plt.imread(tmp_path / 'picture.png')[..., :3].std() > 0.05
    monkeypatch.undo()
    plt.close(figure)


# With tools/train.py.

TOY = """
custom_imports = dict(imports=['tests.interrupted', 'pause'])
model = dict(type='Dice')
loader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='Throws'), collate_fn=dict(type='pseudo_collate'))
train_dataloader = val_dataloader = loader
train_cfg = dict(by_epoch=True, max_epochs=3)
val_cfg = dict()
val_evaluator = dict(type='Mean')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
custom_hooks = [dict(type='Pause', file='pause')]
visualizer = dict(
    type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""
PAUSE = """
import time
from pathlib import Path
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Pause(Hook):
    def __init__(self, file):
        self.file = Path(file)

    def before_train_epoch(self, runner):
        while runner.epoch == 2 and self.file.exists():
            time.sleep(0.05)
"""
TOY_PLAN = """
runs = dict(toy=dict(config='toy.py'))
seeds = [4]
metric = 'mean'
common = {'optim_wrapper.optimizer.lr': 0.05}
"""


def test_real_training_is_stopped_and_resumed(place, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv('PYTHONPATH', f'{REPO}{os.pathsep}{place}')
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    (place / 'toy.py').write_text(TOY)
    (place / 'pause.py').write_text(PAUSE)
    (place / 'pause').touch()
    folder = out('toy', 'seed_4')

    def second_epoch_is_validated():
        return 2 in sweep_report.read_metric(folder, 'mean')

    thread = at_signal(signal.SIGTERM, second_epoch_is_validated)
    stop = sweep.stop

    def stop_then_let_go_on(jobs):
        for job in jobs:
            job.process.terminate()
        (place / 'pause').unlink()
        stop(jobs)

    monkeypatch.setattr(sweep, 'stop', stop_then_let_go_on)
    assert run(monkeypatch, TOY_PLAN) == 128 + signal.SIGTERM
    thread.join()
    (attempt,) = json.loads((folder / 'attempts.json').read_text())
    assert attempt['exit_code'] == 128 + signal.SIGTERM
    monkeypatch.setattr(sweep, 'stop', stop)
    assert run(monkeypatch, TOY_PLAN) == 0

    log = (folder / 'run.log').read_text()
    assert 'Stopped by SIGTERM' in log and 'resumed' in log
    left = result('toy', 'seed_4')
    assert left['last_step'] == 3
    assert '--resume' in left['attempts'][1]['command']
    values = sweep_report.read_metric(folder, 'mean')
    assert list(values) == [1, 2, 3]
    assert [left['last'], left['best']] == [values[3], max(values.values())]
    dumped = (folder / 'toy.py').read_text()
    assert 'seed=4' in dumped and 'lr=0.05' in dumped
