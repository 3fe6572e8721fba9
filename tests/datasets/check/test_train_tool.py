"""What tools/train.py logs of data that it accepts."""

import re
from pathlib import Path

import pytest

from tests.helpers import tiny
from tests.helpers.coco_edits import first, from_zero
from tests.helpers.commands import load_tool
from tests.helpers.data_worlds import coco_run
from tests.helpers.tool_runs import run, write_config

SAMPLER = dict(type='DefaultSampler', shuffle=False)


def train(folder, monkeypatch, capsys, edit):
    """Train for an epoch; return what it ended with, and the log."""
    cfg = coco_run(folder, edit, edit).cfg
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


@pytest.mark.slow
def test_warnings_are_in_the_log(tmp_path, monkeypatch, capsys):
    def edit(content):
        from_zero(content)
        first('annotations', category_id=7)(content)
        for entry in content['annotations']:
            del entry['iscrowd']

    code, log = train(tmp_path, monkeypatch, capsys, edit)
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
