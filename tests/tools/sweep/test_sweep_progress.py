"""How far trainings are, and how long they will take."""

from pathlib import Path

import pytest
import sweep_progress
from sweep_progress import Progress, forecast, in_words, time_left

from tests.helpers.sweep_logs import at_work, finish, train, write


def test_epochs(make_job):
    job = make_job()
    progress = Progress(job)
    progress.read()
    assert (progress.unit, progress.share) == ('epoch', 0)
    assert (progress.position, progress.values) == ('', {})
    # Until it is printed, nobody knows how long an epoch is.
    write(job, train(1, 10))
    progress.read()
    assert (progress.position, progress.share) == ('epoch 1 of 10', 0)
    job.log.write_text('- INFO - Epoch(train)  [1][ 10/40]  lr: 1\n')
    write(job, train(1, 10), dict(mAP=0.1, step=1), train(2, 60))
    progress.read()
    assert progress.values == {1: 0.1}
    assert (progress.position, progress.share) == ('epoch 2 of 10', 0.15)


def test_iterations(make_job):
    job = make_job(kind='iterations')
    write(job, dict(loss=1, iter=100, step=100), dict(mAP=0.1, step=0))
    progress = Progress(job)
    progress.read()
    assert (progress.unit, progress.position) == (
        'iteration',
        'iteration 100 of 400',
    )
    assert (progress.values, progress.share) == ({100: 0.1}, 0.25)


def test_an_unchanged_log_is_not_read_again(make_job, monkeypatch):
    job = make_job(kind='iterations')
    write(job, dict(iter=100))
    progress = Progress(job)
    progress.read()
    monkeypatch.setattr(sweep_progress, 'read_records', None)
    progress.read()
    with pytest.raises(TypeError):
        write(job, dict(iter=100), dict(iter=200))
        progress.read()


def test_duration(make_job, monkeypatch):
    job = make_job(kind='iterations')
    progress = Progress(job)
    assert progress.duration() is None
    write(job, dict(iter=100))
    progress.start()
    at_work(job, 60.0, monkeypatch)
    assert progress.duration() is None
    # A resumed process has done a quarter more in a minute.
    write(job, dict(iter=100), dict(iter=200))
    progress.read()
    assert progress.duration() == 240
    finish(job, 300)
    assert progress.duration() == 300


def test_forecast(make_job, monkeypatch):
    jobs = [make_job('student', s) for s in (0, 1)] + [
        make_job('kd', s) for s in (0, 1)
    ]
    progress = {job: Progress(job) for job in jobs}
    assert forecast(progress, [], jobs, 1) is None
    finish(jobs[0], 100.0)
    # Of kd nothing is known but that student takes 100 s.
    assert forecast(progress, [], jobs[1:], 1) == 300
    assert forecast(progress, [], jobs[1:], 2) == 200
    finish(jobs[2], 200.0)
    assert forecast(progress, [], [jobs[1], jobs[3]], 1) == 300
    progress[jobs[3]].share = 0.25
    assert forecast(progress, [jobs[3]], [jobs[1]], 1) == 250
    assert forecast(progress, [jobs[3]], [jobs[1]], 2) == 150
    # A sweep that was killed does not know how long a training took.
    finish(jobs[0], None)
    assert forecast(progress, [jobs[3]], [], 1) == 150


@pytest.mark.parametrize(
    'running, waiting, slots, expected',
    [
        ([], [], 2, 0),
        ([30], [], 2, 30),
        ([30], [10, 10], 1, 50),
        ([30], [10, 10], 2, 30),
        ([30, 20], [10, 10], 2, 40),
        ([], [50, 10, 10], 2, 50),
        ([], [10, 10, 50], 2, 60),
    ],
)
def test_time_left(running, waiting, slots, expected):
    assert time_left(running, waiting, slots) == expected


def test_in_words():
    found = [in_words(s) for s in (0, 89, 91, 3600, 12000, 187000)]
    assert found == [
        '0 s',
        '89 s',
        '2 min',
        '1 h 0 min',
        '3 h 20 min',
        '2 d 3 h',
    ]


def test_folder_of_a_job(make_job):
    assert make_job().log == Path(make_job().out, 'kd', 'seed_0', 'run.log')
