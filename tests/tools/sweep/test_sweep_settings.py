"""What must stay the same while a sweep is under way."""

from pathlib import Path

import pytest
import sweep_job

from tests.helpers.sweeps import CONFIG, NEEDY, PLAN, journal, out, report

pytestmark = pytest.mark.slow


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
