"""What tools/train.py says of the data, and what it logs."""

import re
from pathlib import Path

import pytest

from tests import tiny
from tests.data_check.test_evaluators import rename
from tests.data_check.test_table import each, first, from_zero, to_corners
from tests.data_check.worlds import coco_run
from tests.errors.commands import load_tool
from tests.errors.page import ROWS, pattern
from tests.tool_runs import run, write_config

SAMPLER = dict(type='DefaultSampler', shuffle=False)


def train(folder, monkeypatch, capsys, train=None, val=None, **changes):
    """Train for an epoch; return what it ended with, and the log."""
    evaluator = changes.pop('evaluator', {})
    data = coco_run(folder, train, val, changes.pop('truth', None), **changes)
    cfg = dict(data.cfg)
    cfg['val_evaluator'] = cfg['val_evaluator'] | evaluator
    for split in ('train', 'val'):
        cfg[f'{split}_dataloader'] |= dict(
            batch_size=2, num_workers=0, sampler=SAMPLER
        )
    teacher = tiny.save_teacher(folder / 'teacher.pth')
    hook = dict(type='CKDHook', teacher=teacher)
    config = write_config(
        folder,
        [hook],
        train_cfg=dict(by_epoch=True, max_epochs=1),
        val_cfg=dict(),
        **cfg,
    )
    code, _ = run(monkeypatch, capsys, load_tool('train'), config)
    logs = list(Path(folder, 'config_work').glob('*/*.log'))
    return code, ''.join(log.read_text() for log in logs)


@pytest.mark.parametrize(
    'name, changes',
    [
        ('annotation-value', dict(train=first('annotations', bbox=None))),
        ('boxes-corners', dict(train=each('annotations', bbox=to_corners))),
        ('image-size', dict(train=each('images', width=65))),
        ('classes-text', dict(metainfo=dict(classes='cat'))),
        ('evaluator-images', dict(truth=rename)),
        ('evaluator-nums', dict(evaluator=dict(proposal_nums=(1, 10)))),
        ('evaluator-pipeline', dict(evaluator=dict(ann_file=None))),
    ],
)
def test_error_ends_the_command(tmp_path, monkeypatch, capsys, name, changes):
    code, log = train(tmp_path, monkeypatch, capsys, **changes)
    assert re.fullmatch(f'error: {pattern(ROWS[name])}', str(code)), code
    assert 'Epoch(train)' not in log


def test_warnings_are_in_the_log(tmp_path, monkeypatch, capsys):
    def edit(content):
        from_zero(content)
        first('annotations', category_id=7)(content)
        for entry in content['annotations']:
            del entry['iscrowd']

    code, log = train(tmp_path, monkeypatch, capsys, edit, edit)
    assert code == 0
    start, training = log.split('Epoch(train)', 1)
    for words, number in (
        ('train data .*`categories` does not have .7.: they are left out', 1),
        ('val_evaluator.*`categories` does not have .7.', 1),
        ('8 of the 8 .*val_evaluator.*have no `iscrowd`', 1),
        ('1 of the 8 .*val_evaluator.*the `id` 0 or a text', 1),
    ):
        assert len(re.findall(words, start)) == number, words
    assert 'left out' not in training
    assert re.search(r'coco/bbox_mAP: \d', training)
