"""The examples of docs/adding_a_method.md train, and its table is right."""

import re
from pathlib import Path
from pkgutil import iter_modules

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmkd_plugin import losses
from tests.helpers.doc_examples import DOCS, examples

PAGE = DOCS / 'adding_a_method.md'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Configs of a small student and its teacher, where Python finds them."""
    pytest.importorskip('mmdet')
    from tests.helpers import tiny

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tiny.save_configs()
    return tmp_path


def code_under(heading):
    return [each.code for each in examples(PAGE) if each.heading == heading]


def train(config):
    """Train by a config and return what was logged."""
    cfg = Config.fromfile(config)
    cfg.work_dir = 'work'
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.message_hub.log_scalars


def test_loss_in_a_file_of_ones_own(folder):
    loss, config = code_under('In a file of your own')
    assert loss.startswith('# my_losses.py\n')
    Path('my_losses.py').write_text(loss)
    Path('distilled.py').write_text(Path('student.py').read_text() + config)
    values, _ = train('distilled.py')['train/loss_mse'].data
    assert len(values) == 4 and min(values) > 0


def test_loss_of_feature_maps(folder):
    loss, config = code_under('A loss of feature maps')
    assert loss.startswith('# map_losses.py\n')
    Path('map_losses.py').write_text(loss)
    Path('distilled.py').write_text(Path('student.py').read_text() + config)
    values, _ = train('distilled.py')['train/loss_map'].data
    assert len(values) == 4 and min(values) > 0
    saved = torch.load('work/epoch_1.pth', weights_only=False)
    assert set(saved['distill']['loss_map']) == {
        f'adapters.{level}.{name}'
        for level in range(4)
        for name in ('weight', 'bias')
    }


def test_fragment_with_any_student(folder):
    (config,) = code_under('With any student')
    Path('configs').symlink_to(DOCS.parent / 'configs')
    Path('distilled.py').write_text(config)
    values, _ = train('distilled.py')['train/loss_dist'].data
    assert len(values) == 4 and min(values) > 0


@pytest.mark.parametrize(
    'method',
    [found.name for found in iter_modules(losses.__path__) if not found.ispkg],
)
def test_every_method_has_the_files_of_the_table(method):
    files = re.findall(r'^\| `(.+?)` \|', PAGE.read_text(), re.MULTILINE)
    files = [file for file in files if 'NAME' in file]
    assert len(files) == 4
    for file in files:
        file = DOCS.parent / file.replace('NAME', method)
        assert method in file.read_text().lower()
