"""The sentences of docs/errors.md on data, as tools/train.py prints them."""

import re

import pytest

from tests.helpers import folder_data
from tests.helpers.data_sentences import CASES, data, own, voc
from tests.helpers.data_worlds import (
    Run,
)
from tests.helpers.errors_page import ROWS, pattern


def train(world, run):
    """Give the command that trains on the data of a `Run`."""
    detector = run.scope == 'mmdet'
    cfg = {}
    for split in ('train', 'val'):
        key = f'{split}_dataloader'
        if key in run.cfg:
            cfg[key] = {**world.loader(), **run.cfg[key]}
    if 'val_dataloader' in cfg:
        usual = dict(type='CocoMetric' if detector else 'Accuracy')
        cfg['val_evaluator'] = run.cfg.get('val_evaluator', usual)
        cfg['val_cfg'] = {}
    # MMEngine tidies up after each data set, which takes long.
    world.monkeypatch.setattr('gc.collect', lambda *_: 0)
    return world.use('detector' if detector else 'classifier').train(**cfg)


@pytest.fixture
def command(world, monkeypatch):
    """What checks data gives the command instead; return its folder."""
    monkeypatch.setattr(Run, 'check', lambda run: train(world, run))
    return world.folder


@pytest.mark.parametrize('name', CASES)
def test_sentence(name, command):
    ended = CASES[name](command)
    assert ended.error, ended.output[-3000:]
    assert ended.code == 1
    assert re.fullmatch(pattern(ROWS[name]), ended.error), ended.error
    assert not list(command.glob('work/**/*.pth'))


@pytest.mark.slow
@pytest.mark.parametrize(
    'case',
    [data(), voc(), own(folder_data.entry())],
    ids=['coco', 'voc', 'own'],
)
def test_data_that_are_right_train(case, command):
    ended = case(command)
    assert ended.code == 0, ended.output[-3000:]
