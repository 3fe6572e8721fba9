"""Nothing is missing, or compared unequally, in silence."""

import json

from page.gaps import find_gaps

from tests.helpers.sweep_pages import (
    ENVIRONMENT,
    gains,
    make_data,
    read_data,
    write_training,
)


def test_nothing_is_missing(tmp_path):
    runs = dict(student=gains(0, 0), kd=gains(1, 1))
    assert find_gaps(make_data(tmp_path, runs)) == []


def test_unfinished_trainings(tmp_path):
    runs = dict(student=gains(0, 0, 0), kd={1: [0.1, 0.2]}, ckd=gains(0))
    data = make_data(tmp_path, runs, [0, 1, 2])
    write_training(tmp_path / 'kd' / 'seed_0', [], exit_code=1)
    write_training(tmp_path / 'ckd' / 'seed_2', [])
    assert find_gaps(read_data(data.plan, tmp_path)) == [
        'kd: seeds 0, 2 have no result; see kd/seed_0/run.log.',
        'ckd: seeds 1, 2 have no result; 2 begun and not finished.',
    ]
    data.plan.runs['ckd'].seeds = [0, 7]
    assert find_gaps(data)[-1] == 'ckd: seed 7 has no result; not begun.'


def test_pairs_that_are_not_complete(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0), kd=gains(1, 1, 1)))
    assert (
        'kd: seeds 1, 2 are not compared, because student has no result with '
        'them.'
    ) in find_gaps(data)


def test_trained_unequally(tmp_path):
    longer = {seed: [0.1, 0.2, 0.3] for seed in (0, 1)}
    data = make_data(tmp_path, dict(student=gains(0, 0), kd=longer))
    assert find_gaps(data) == [
        'kd was last validated at 3, student at 2: they were not trained '
        'equally long.'
    ]


def test_other_code(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0, 0), kd=gains(1, 1)))
    path = tmp_path / 'kd' / 'seed_1' / 'result.json'
    result = json.loads(path.read_text())
    result['attempts'][0]['commit'] = 'abc'
    path.write_text(json.dumps(result))
    (sentence,) = find_gaps(read_data(data.plan, tmp_path))
    assert sentence.startswith('The trainings ran on 2 versions of the code')


def test_changed_code(tmp_path):
    runs = dict(student=gains(0, 0), kd=gains(1, 1))
    data = make_data(tmp_path, runs, commit='abc-dirty')
    assert find_gaps(data) == ['The code had changes that were not committed.']


def test_other_machine(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0, 0), kd=gains(1, 1)))
    log = tmp_path / 'kd' / 'seed_1' / '2026' / '2026.log'
    log.write_text(ENVIRONMENT.replace('2.11.0', '2.1.0'))
    (sentence,) = find_gaps(data)
    assert 'different environments' in sentence
