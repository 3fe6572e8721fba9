"""The loss of docs/adding_a_method.md trains, and its table is right."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from tests.helpers.doc_examples import DOCS, examples

PAGE = DOCS / 'adding_a_method.md'


def test_loss_in_a_file_of_ones_own(tmp_path, monkeypatch):
    pytest.importorskip('mmdet')
    from tests.helpers import tiny

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tiny.save_configs()
    loss, config = examples(PAGE)
    assert loss.code.startswith('# my_losses.py\n')
    Path('my_losses.py').write_text(loss.code)
    student = Path('student.py').read_text()
    Path('distilled.py').write_text(student + config.code)
    cfg = Config.fromfile('distilled.py')
    cfg.work_dir = 'work'
    runner = Runner.from_cfg(cfg)
    runner.train()
    values, _ = runner.message_hub.log_scalars['train/loss_mse'].data
    assert len(values) == 4 and min(values) > 0


def test_files_of_the_table_know_the_method():
    rows = re.findall(r'^\| `(.+?)` \|', PAGE.read_text(), re.MULTILINE)
    files = [DOCS.parent / row for row in rows if '.' in row]
    assert len(files) == 11
    for file in files:
        assert 'dist' in file.read_text().lower()
