"""Entries for a metafile."""

from pathlib import Path

import metafile
import pytest
from torch import nn

from tests.helpers.logs import write_log

META = dict(epoch=2, iter=52, experiment_name='my_20260101_000000')


def test_results_are_those_of_the_epoch(tmp_path):
    write_log(tmp_path, loss=[6, 5, 4, 3, 2, 1])
    for name in ('epoch_2.pth', 'best_coco_bbox_mAP_epoch_2.pth'):
        found = metafile.read_results(Path(name), META, tmp_path, 'Cells')
        assert found == [
            dict(
                Task='Object Detection',
                Dataset='Cells',
                Metrics={'box AP': 20.0},
            )
        ]


@pytest.mark.parametrize(
    'name, experiment, message',
    [
        ('epoch_9.pth', 'my_20260101_000000', 'no validation of epoch_9.pth'),
        ('stopped.pth', 'my_20260101_000000', 'no validation of stopped.pth'),
        # MMEngine's validations are counted in epochs.
        ('iter_2.pth', 'my_20260101_000000', 'named epoch_N.pth'),
        ('epoch_2.pth', 'my_20260101_000009', 'no folder 20260101_000009'),
        ('epoch_2.pth', '', 'no folder unknown'),
    ],
)
def test_log_of_another_run_or_time(tmp_path, name, experiment, message):
    write_log(tmp_path, loss=[6, 5, 4, 3, 2, 1])
    meta = dict(experiment_name=experiment)
    with pytest.raises(SystemExit, match=message):
        metafile.read_results(Path(name), meta, tmp_path, 'Cells')


def test_entry():
    settings = dict(Distillation={1: dict(type='CKDHook')}, Training={})
    entry = metafile.make_entry(
        Path('my-0123.pth'), 'my.py', nn.Linear(3, 2), META, settings, []
    )
    assert entry == dict(
        Name='my',
        Config='my.py',
        Metadata={
            'Parameters': 8,
            'Epochs': 2,
            'Training Techniques': ['Knowledge Distillation'],
            **settings,
        },
        Weights='my-0123.pth',
    )
