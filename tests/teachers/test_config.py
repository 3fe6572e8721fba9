"""A teacher's config or classes that are wrong: tools/train.py says how."""

import importlib.util
import os
import re
from pathlib import Path

import pytest
import torch

from tests.helpers import tiny_cls
from tests.helpers.errors_page import ROWS, pattern
from tests.helpers.tool_runs import hook_cfg, run, write_config

LOSSES = dict(loss_kd=dict(type='KDLoss', tau=1.0))
REPO = Path(__file__).parents[2]


def load_train():
    path = REPO / 'tools' / 'train.py'
    spec = importlib.util.spec_from_file_location('train', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start(tmp_path, monkeypatch, capsys):
    """Train with a teacher; `text` is added to its config. The sentence."""
    monkeypatch.chdir(tmp_path)
    train = load_train()

    def start(text='', name='teacher.py', meta=None, metainfo=None, **teacher):
        arguments = tiny_cls.save_teacher('teacher.pth')
        if meta is not None:
            content = torch.load('teacher.pth')
            torch.save(dict(content, meta=meta), 'teacher.pth')
        cfg = dict(arguments['config'], model=tiny_cls.classifier_cfg())
        model = cfg['model'].to_dict()
        plain = f"default_scope = 'mmpretrain'\nmodel = {model!r}\n"
        if isinstance(text, bytes):
            Path(name).write_bytes(text)
        elif text is not None:
            whole = text if not name.endswith('.py') else plain + text
            Path(name).write_text(whole)
        teacher = dict(config=name, checkpoint='teacher.pth') | teacher
        data = dict(type='Pictures', length=4)
        if metainfo is not None:
            data = dict(type='OtherNames', metainfo=metainfo)
        config = write_config(
            tmp_path,
            [hook_cfg(teacher, losses=LOSSES)],
            classifier=True,
            train_cfg=dict(by_epoch=True, max_epochs=1),
            train_dataloader=dict(
                batch_size=2,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=data,
            ),
        )
        return run(monkeypatch, capsys, train, config)[0]

    return start


@tiny_cls.DATASETS.register_module()
class OtherNames(tiny_cls.Pictures):
    """Pictures with other names of their classes."""

    def __init__(self, metainfo):
        super().__init__(length=4)
        self.metainfo = metainfo


def check(printed, row):
    """Compare with the sentence in docs/errors.md."""
    assert re.fullmatch(f'error: {pattern(ROWS[row])}', str(printed)), printed


def test_import_that_fails(start):
    printed = start(
        "custom_imports = dict(imports=['projects.mine'],\n"
        '    allow_failed_imports=False)\n'
    )
    check(printed, 'teacher-config-import')
    assert '(ImportError: Failed to import projects.mine)' in printed


LAZY = 'from mmengine.config import read_base\nwith read_base():\n    '


@pytest.mark.parametrize(
    'text, row, reason',
    [
        ('from .gone import *', 'teacher-config-code', 'gone.py not found'),
        (
            'from no_such.configs.x import *',
            'teacher-config-import',
            'no_such',
        ),
    ],
)
def test_base_of_plain_python(start, text, row, reason):
    Path('lazy.py').write_text(f'{LAZY}{text}\nmodel = dict()\n')
    printed = start(config='lazy.py')
    check(printed.replace('lazy.py', 'teacher.py'), row)
    assert reason in printed


@pytest.mark.parametrize(
    'module, name', [('no_such.models', 'A'), ('mmpretrain.models', 'NoSuch')]
)
def test_type_of_plain_python(start, module, name):
    Path('lazy.py').write_text(
        f'from {module} import {name}\nmodel = dict(type={name})\n'
    )
    printed = start(config='lazy.py')
    check(printed, 'teacher-config-type')
    assert 'lazy.py, line 1' in printed


@pytest.mark.parametrize(
    'text, reason',
    [
        ('model = dict(\n', r"SyntaxError: '\(' was never closed, line 3"),
        ('x = 1\nlr = 1 / 0\n', 'ZeroDivisionError: division by zero, line 4'),
        ('lr = rate\n', "NameError: name 'rate' is not defined, line 3"),
        ("path = '{{$NO_SUCH_VARIABLE:}}'\nx = {{$NO_SUCH:}}\n", '.*'),
        ('raise SystemExit(3)\n', 'SystemExit: 3, line 3'),
        (b'\x80\x04\x95\x00\x01\xff\xfe', r'\w+: .*'),
        (b'model = 1\x00\n', r'\w+: .*null bytes.*'),
    ],
)
def test_code_that_fails(start, text, reason):
    printed = start(text)
    check(printed, 'teacher-config-code')
    assert re.search(rf'\({reason}\): correct it', printed), printed


@pytest.mark.parametrize(
    'name, text', [('t.json', '{"model": '), ('t.yaml', 'model: [1\n  x: {')]
)
def test_damaged_file(start, name, text):
    printed = start(text, name)
    check(printed, 'teacher-config-code')
    assert f"'{name}'" in printed


def test_other_suffix(start):
    check(start('model = 1', 'teacher.txt'), 'teacher-config-code')


def test_error_of_a_base_names_the_base(start):
    Path('base.py').write_text('x = 1\ny = no_such\n')
    printed = start("_base_ = './base.py'\n")
    check(printed, 'teacher-config-code')
    place = os.path.abspath('base.py')
    assert f"NameError: name 'no_such' is not defined, line 2 of {place})" in (
        printed
    )


def test_base_that_is_gone(start):
    printed = start("_base_ = './old/frcnn.py'\n")
    check(printed, 'teacher-config-base')
    assert 'old/frcnn.py was not found, which ' in printed


@pytest.mark.slow
def test_bases_in_a_circle(start):
    Path('other.py').write_text("_base_ = './teacher.py'\n")
    check(start("_base_ = './other.py'\n"), 'teacher-config-circle')


def test_folder(start, tmp_path):
    (tmp_path / 'folder').mkdir()
    check(start(None, 'folder'), 'teacher-config-folder')


def test_dict_with_imports_that_fail(start):
    config = dict(
        model=dict(type='X'), custom_imports=dict(imports=['projects.mine'])
    )
    check(start(config=config), 'teacher-config-dict-import')


def test_arguments_that_its_model_has_not(start):
    printed = start("model['head']['topp'] = 1\n")
    check(printed, 'teacher-config-argument')
    assert 'topp' in printed


@pytest.mark.parametrize(
    'classes, row, advice',
    [
        ('person', 'teacher-classes-text', "write ('person',)."),
        (
            'cat, dog,owl',
            'teacher-classes-text',
            "write ('cat', 'dog', 'owl').",
        ),
        (5, 'teacher-classes-kind', '5'),
        ({'cat': 0}, 'teacher-classes-kind', "{'cat': 0}"),
        ([['cat'], ['dog']], 'teacher-classes-kind', "[['cat'], ['dog']]"),
        ([None], 'teacher-classes-kind', '[None]'),
        ((), 'teacher-classes-none', ''),
    ],
)
def test_classes_of_the_option(start, classes, row, advice):
    printed = start(classes=classes)
    check(printed, row)
    assert advice in printed


@pytest.mark.parametrize('key', ['classes', 'CLASSES'])
def test_text_in_a_checkpoint(start, key):
    """As where the comma of `('person',)` was forgotten."""
    printed = start(meta={'dataset_meta': {key: 'person'}})
    check(printed, 'classes-text-file')
    assert f"`{key}` of the teacher's checkpoint" in printed
    assert start(meta={key: 'person'}) == printed
    names = tiny_cls.CLASSES
    assert start(meta={key: 'person'}, classes=list(names)) == 0


def test_text_in_its_config(start):
    printed = start(
        "train_dataloader = dict(dataset=dict(type='RepeatDataset', "
        "dataset=dict(metainfo=dict(classes='cat'))))\n"
    )
    check(printed, 'classes-text-file')
    assert "`classes` of the teacher's config" in printed


def test_old_key_in_its_config_is_read(start):
    text = (
        "train_dataloader = dict(dataset=dict(type='ConcatDataset', "
        'datasets=[dict(metainfo=dict(CLASSES={!r}))]))\n'
    )
    assert start(text.format(tiny_cls.CLASSES)) == 0
    printed = start(text.format(('cat', 'dog', 'cow')))
    assert '(owl; it has cat, dog, cow)' in printed


def test_another_case(start):
    printed = start(classes=['Cat', 'DOG', ' owl'])
    check(printed, 'class-spelling')
    assert "('cat' and 'Cat')" in printed


def test_names_that_are_numbers(start):
    """As of folders 0, 1 and 2."""
    assert start(classes=[0, 1, 2], metainfo=dict(classes=list('012'))) == 0


def test_metainfo_of_the_student(start):
    names = tiny_cls.CLASSES
    two = [dict(classes=names, palette=[1]), dict(classes=names, palette=[2])]
    assert start(metainfo=two, classes=list(names)) == 0
    two[1]['classes'] = ('cat', 'dog', 'cow')
    check(start(metainfo=two), 'metainfo-parts')
    check(start(metainfo=dict(classes='cat')), 'metainfo-text')
    check(start(metainfo=dict(CLASSES=names)), 'metainfo-old')
