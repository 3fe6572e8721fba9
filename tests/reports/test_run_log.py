"""Reading logs."""

import json

import pytest

from mmkd_plugin.reports import run_log
from tests.helpers.logs import METRIC, write_log


def test_values_by_step(tmp_path):
    write_log(tmp_path, loss=[4, 3, 2, 1])
    records = run_log.read_records(tmp_path)
    assert run_log.series(records, 'loss') == {10: 4, 20: 3, 36: 2, 46: 1}
    assert run_log.read_metric(tmp_path, METRIC) == {1: 0.1, 2: 0.2}
    assert run_log.series(records, 'no_such') == {}
    assert run_log.read_records(tmp_path / 'none') == []


def test_resumed_run_goes_back_to_its_checkpoint(tmp_path):
    """Killed in epoch 3, it has only epoch 1 to go on from."""
    write_log(tmp_path, '2026_1', loss=[6, 5, 4, 3, 2, 1])
    write_log(tmp_path, '2026_2', start=1, loss=[14, 13])
    records = run_log.read_records(tmp_path)
    assert run_log.series(records, 'loss') == {10: 6, 20: 5, 36: 14, 46: 13}
    values = run_log.series(records, METRIC)
    assert list(values.items()) == [(1, 0.1), (2, 0.2)]


def test_validations_in_training_by_iteration(tmp_path):
    """MMEngine gives all of them the step 0."""
    path = tmp_path / '2026' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    lines = []
    for step in (50, 100, 150):
        lines.append(dict(loss=1.0, iter=step, step=step))
        if step > 50:
            lines.append(dict(mAP=step / 1000, step=0))
    path.write_text('\n'.join(map(json.dumps, lines)))
    assert run_log.read_metric(tmp_path, 'mAP') == {100: 0.1, 150: 0.15}
    assert run_log.epoch_length(run_log.read_records(tmp_path)) is None


@pytest.mark.parametrize('length', [7, 20, 26, 100])
def test_epoch_length(length):
    """From records at every third iteration of ten epochs."""
    records = [
        dict(epoch=epoch + 1, iter=epoch * length + inner + 1)
        for epoch in range(10)
        for inner in range(2, length, 3)
    ]
    assert run_log.epoch_length([dict(step=1), *records]) == length
