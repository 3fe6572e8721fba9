"""What a sweep shows: lines in a file, a table on a terminal."""

import io

import pytest
import sweep_view
from rich.console import Console
from sweep_view import View

from tests.helpers.sweep_logs import at_work, finish, train, write


@pytest.fixture
def jobs(make_job):
    return (
        make_job('student', baseline='student'),
        make_job('kd'),
        make_job('kd', 1),
    )


def view_of(jobs, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=70)
    return View(jobs, 2, console)


def lines_of(view):
    return view.console.file.getvalue().splitlines()


@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setattr(sweep_view, 'INTERVAL', 0)


def test_lines(jobs, monkeypatch):
    student, kd, _ = jobs
    write(student, train(1, 40), dict(mAP=0.25, step=1))
    finish(student, 80)
    with view_of(jobs, False) as view:
        view.say('[1][2/3] :smile: ' + 'x' * 80)
        kd.is_resumed = True
        view.started(kd)
        at_work(kd, 20.0, monkeypatch)
        view.update([kd], [jobs[2]])
        write(kd, train(1, 40), dict(mAP=0.125, step=1))
        for _ in range(3):
            view.update([kd], [jobs[2]])
        write(kd, train(1, 40), dict(mAP=0.125, step=1), dict(mAP=1, step=2))
        view.finished(kd)
    assert lines_of(view) == [
        # Neither wrapped nor read as markup.
        '[1][2/3] :smile: ' + 'x' * 80,
        f'kd, seed 0: resumed, log {kd.log}',
        'kd, seed 0, epoch 1: mAP 0.125, -0.125 to student at the same epoch',
        # The student has no second epoch.
        'kd, seed 0, epoch 2: mAP 1',
        'kd, seed 0: finished in 20 s, mAP 1',
        '1 of 3 trainings finished, about 80 s left',
    ]


def test_what_was_there_before_is_not_told(jobs):
    _, kd, _ = jobs
    write(kd, train(1, 40), dict(mAP=0.125, step=1))
    with view_of(jobs, False) as view:
        view.started(kd)
        view.update([kd], [])
    assert lines_of(view) == [f'kd, seed 0: started, log {kd.log}']


def test_table(jobs):
    student, kd, other = jobs
    write(student, train(1, 40), dict(mAP=0.25, step=1))
    finish(student, 80)
    with view_of(jobs, True) as view:
        write(kd, train(1, 40), dict(mAP=0.5, step=1), train(2, 60))
        view.update([kd, other], [])
        view.say('a line that stays')
    text = view.console.file.getvalue()
    for words in (
        'kd', 'epoch 2 of 10', '0.5', '+0.25', 'begins',
        '1 of 3 trainings finished, about 80 s left', 'a line that stays',
    ):  # fmt: skip
        assert words in text, words
    assert 'epoch 1' not in text
    # The cursor is given back.
    assert text.rindex('\x1b[?25h') > text.rindex('\x1b[?25l')


def test_the_terminal_is_given_back_after_an_error(jobs):
    view = view_of(jobs, True)
    with pytest.raises(KeyboardInterrupt), view:
        raise KeyboardInterrupt
    text = view.console.file.getvalue()
    assert text.rindex('\x1b[?25h') > text.rindex('\x1b[?25l')
