"""Names that are set where nothing reads them any more."""

import re
from pathlib import Path

import pytest

from mmkd_plugin.cli.config_options import CONFIG_KEYS
from mmkd_plugin.cli.dead_names import check_dead_names
from mmkd_plugin.exceptions import MMKDValueError

BASE = """
epochs = 10
scale = (64, 64)
own = 1
train_cfg = dict(max_epochs=epochs)
train_pipeline = [dict(type='Resize', scale=scale)]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
"""


def check(tmp_path, *lines, base=BASE, keys=(), middle=None):
    """Check a config on top of a base, and of one between them."""
    bottom = 'base.py'
    Path(tmp_path, 'base.py').write_text(base)
    if middle is not None:
        bottom = 'middle.py'
        text = "_base_ = './base.py'\n" + middle
        Path(tmp_path, 'middle.py').write_text(text)
    path = Path(tmp_path, 'config.py')
    path.write_text('\n'.join([f"_base_ = './{bottom}'", *lines]))
    check_dead_names(str(path), CONFIG_KEYS, keys)


@pytest.mark.parametrize(
    'line, made',
    [
        ('epochs = 15', 'train_cfg'),
        ('scale = (32, 32)', 'train_dataloader'),
        ("train_pipeline = [dict(type='X')]", 'train_dataloader'),
        # Used for something that is not used.
        ('s = (1, 1)\ntrain_pipeline = [dict(scale=s)]', 'train_dataloader'),
        # Set by a loop, or beside another.
        ('for epochs in (15, 16):\n    pass', 'train_cfg'),
        ('a, epochs = 1, 15', 'train_cfg'),
        ('epochs: int = 15', 'train_cfg'),
        # That of the base is read, not this.
        (
            'epochs = 15\ntrain_cfg = dict(max_epochs=_base_.epochs)',
            'train_cfg',
        ),
        (
            "epochs = 15\ntrain_cfg = dict(max_epochs=_base_['epochs'])",
            'train_cfg',
        ),
    ],
)
def test_set_without_effect(tmp_path, line, made):
    with pytest.raises(
        MMKDValueError, match=rf'config\.py .*made {made} from'
    ):
        check(tmp_path, line)


@pytest.mark.parametrize(
    'line',
    [
        '',
        'own = 2',
        'new = 2',
        'train_cfg = dict(max_epochs=15)',
        'epochs = 15\ntrain_cfg = dict(max_epochs=epochs)',
        # The value of the base.
        'epochs = 10',
        'scale = (64, 64)',
        'train_pipeline = _base_.train_pipeline\n'
        'train_pipeline[0].scale = (32, 32)\n'
        'train_dataloader = dict(dataset=dict(pipeline=train_pipeline))',
        'def name(epochs):\n    return epochs\nepochs = 15\nx = epochs',
    ],
)
def test_set_with_effect(tmp_path, line):
    check(tmp_path, line)


@pytest.mark.parametrize(
    'read', ['_base_.epochs', "_base_['epochs']", '{{_base_.epochs}}']
)
def test_read_by_a_file_above(tmp_path, read):
    line = f'train_cfg = dict(max_epochs={read})'
    check(tmp_path, line, middle='epochs = 15\n')
    with pytest.raises(MMKDValueError, match='middle.py changes nothing'):
        check(tmp_path, middle='epochs = 15\n')


def test_made_by_a_file_between(tmp_path):
    middle = 'train_cfg = dict(max_epochs=_base_.epochs)\n'
    with pytest.raises(MMKDValueError, match='config.py changes nothing'):
        check(tmp_path, 'epochs = 2', base='epochs = 1', middle=middle)


@pytest.mark.parametrize('key', ['scale', 'epochs', 'train_pipeline.0.type'])
def test_options(tmp_path, key):
    check(tmp_path, keys=['own', 'train_cfg.max_epochs', 'nowhere'])
    name = re.escape(f'--cfg-options {key} changes nothing')
    with pytest.raises(MMKDValueError, match=name):
        check(tmp_path, keys=['own', key])


def test_what_mmengine_substitutes(tmp_path):
    """Before it reads a file as Python."""
    path = tmp_path / 'config.py'
    tmp_path.joinpath('base.py').write_text(BASE)
    path.write_text(
        "_base_ = '{{ fileDirname }}/base.py'\nepochs = {{'$NO_SUCH:15'}}\n"
    )
    with pytest.raises(MMKDValueError, match='`epochs` in'):
        check_dead_names(str(path), CONFIG_KEYS, [])
    path.with_suffix('.json').write_text('{"_base_": "./base.py"}')
    check_dead_names(str(path.with_suffix('.json')), CONFIG_KEYS, [])


def test_files_of_a_zoo_may_do_it(tmp_path):
    folder = tmp_path / '.mim'
    folder.mkdir()
    check(folder, 'epochs = 15')
