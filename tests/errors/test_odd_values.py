"""Every argument, with values of every wrong kind: taken, or a sentence."""

import inspect
from pathlib import Path

import pytest
import torch

import mmkd_plugin
from mmkd_plugin import Distiller, MMKDError, datasets, hooks, losses, taps
from mmkd_plugin.cli.errors import explain
from mmkd_plugin.distill.term_guard import TermGuard
from mmkd_plugin.distill.terms import build_terms
from mmkd_plugin.hooks.schedule import Schedule
from mmkd_plugin.models import (
    CIFARVGG,
    CIFARMobileNetV2,
    CIFARResNet,
    CIFARWideResNet,
)
from mmkd_plugin.teachers.speed import TeacherSpeed
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers import tiny_cls
from tests.helpers.commands import LOSSES, TEACHER, run_tool
from tests.helpers.mutations import POOL

# Class -> the arguments that it cannot do without.
CLASSES = {
    mmkd_plugin.DistillHook: dict(teacher=TEACHER, losses=LOSSES),
    hooks.CKDHook: dict(teacher=TEACHER),
    hooks.RLDHook: dict(teacher=TEACHER),
    losses.KDLoss: dict(tau=1.0),
    losses.DKDLoss: dict(beta=0.25, tau=1.0),
    losses.RLDLoss: dict(beta=8.0, tau_scd=1.0, tau_mcd=4.0),
    losses.CKDLoss: dict(tau=1.0, loss_weight=1.0),
    losses.DISTLoss: dict(beta=2.0, gamma=2.0, tau=1.0),
    taps.RoIHeadTap: {},
    Schedule: {},
    TermGuard: dict(on_nonfinite='skip', log_name='x'),
    TeacherSpeed: {},
    datasets.InMemoryCIFAR100: dict(data_root='no/such'),
    datasets.ReplayedResizedCrop: dict(scale=24, views=2),
    CIFARResNet: dict(depth=8),
    CIFARVGG: dict(depth=8),
    CIFARWideResNet: dict(depth=10, widen_factor=1),
    CIFARMobileNetV2: {},
}
# What MMEngine takes care of, what is derived from a checked argument.
OTHERS = {'init_cfg', 'kwargs', 'log_name'}
ARGUMENTS = [
    (kind, name)
    for kind in CLASSES
    for name in inspect.signature(kind).parameters
    if name not in OTHERS
]


def name_of(value):
    return getattr(value, '__name__', value)


@pytest.mark.parametrize('kind, name', ARGUMENTS, ids=name_of)
def test_each_value_is_taken_or_refused_in_a_sentence(kind, name):
    refused = 0
    for value in POOL:
        try:
            kind(**{**CLASSES[kind], name: value})
        except MMKDError as error:
            text = str(error)
            assert '\n' not in text and text.endswith('.'), text
            refused += 1
    assert refused >= len(POOL) // 2


@pytest.mark.parametrize('name', inspect.signature(Teacher).parameters)
def test_each_value_of_the_teacher(name, world):
    good = tiny_cls.save_teacher('t.pth')
    refused = 0
    for value in POOL:
        if isinstance(value, str) and '://' in value:
            continue  # a URL
        try:
            teacher = Teacher(**{**good, name: value})
            torch.manual_seed(0)
            Distiller(dict(loss_kd=losses.KDLoss(tau=1.0))).attach(
                tiny_cls.build_classifier(), [teacher]
            )
        except MMKDError as error:
            assert explain(error).endswith('.')
            refused += 1
    assert refused >= len(POOL) // 2


def test_numbers_of_numpy_are_numbers(world):
    config = Path(world.config([world.loss(type='KDLoss', tau='TAU')]))
    value = "__import__('numpy').float32(2)"
    config.write_text(config.read_text().replace("'TAU'", value))
    ended = run_tool('train', 'config.py', '--work-dir', 'work')
    assert ended.code == 0, ended.output


CHANGES = (
    *('=', '==', '=1', 'x', 'model=1', 'model=', 'model.head=[1', 'a..b=1'),
    *('custom_hooks.9.x=1', 'custom_hooks.x=1', 'custom_hooks..x=1'),
    *(
        'custom_hooks=',
        'custom_hooks=1',
        'custom_hooks.0=1',
        'custom_hooks=[]',
    ),
    *('custom_hooks.0.teacher=x', 'custom_hooks.0.losses.loss_kd=1'),
    *('custom_hooks.0.losses.loss_kd.tau=x', 'custom_hooks.0.tap=None'),
    *('custom_hooks.-1.x=1', 'custom_hooks.0.teacher.checkpoint='),
    *('data_root=1', 'data_root=', 'work_dir=5', 'load_from=5', 'load_from='),
    *('resume=x', 'resume=1', 'custom_imports=1', 'custom_imports.imports=5'),
    *('custom_imports.x=5', 'train_dataloader=None', 'train_cfg=[1,2]'),
    *('optim_wrapper=x', 'x.y=(1,[2)', 'launcher=5', 'custom_hooks.0.type='),
)


@pytest.mark.parametrize('change', CHANGES)
def test_option_is_taken_or_refused_in_a_sentence(change, world):
    ended = world.train(options=['--cfg-options', change])
    assert ended.code == 0 or ended.error, ended.output[-3000:]


COMMANDS = (
    ['--work-dir', ''],
    ['--work-dir', 'x' * 300],
    ['--work-dir', 'a/' * 3000],
    ['--work-dir', '/dev/null/x'],
    ['--work-dir', '/proc/x'],
    ['--resume', ''],
    ['--resume', '.'],
    ['--resume', '/dev/null'],
    ['--resume', 'x' * 300],
    ['--resume', 'config.py'],
    ['--resume', 'nothing://x'],
    ['--launcher', ''],
    ['--launcher', 'slurm'],
    ['--launcher', 'mpi'],
    ['--local_rank', 'x'],
    ['--amp', '--cfg-options', 'optim_wrapper=None'],
    ['--amp', '--cfg-options', 'optim_wrapper=1'],
    ['--auto-scale-lr', '--cfg-options', 'auto_scale_lr=1'],
    ['--auto-scale-lr', '--cfg-options', 'auto_scale_lr=None'],
    ['--no-such-option'],
    ['another.py'],
)


@pytest.mark.parametrize('options', COMMANDS, ids=lambda o: '-'.join(o)[:40])
def test_command_is_taken_or_refused_in_a_sentence(options, world):
    ended = world.train(options=options)
    assert ended.error, ended.output[-3000:]


FILES = {
    'empty.py': b'',
    'binary.py': bytes(range(256)),
    'zeros.py': b'\0' * 100,
    'latin.py': 'model = "\xe9"'.encode('latin-1'),
    'list.yaml': b'- 1\n- 2\n',
    'empty.yaml': b'',
    'broken.yaml': b'a: [1\nb: {',
    'part.yaml': b'model: 1\n',
    'broken.json': b'{"a": ',
    'list.json': b'[1]',
    'text.json': b'"a"',
    'none': b'lr = 1',
    'reserved.py': b'filename = 1',
    'base.py': b'_base_ = 5',
    'base_list.py': b'_base_ = [None]',
    'name.py': b'model = nothing',
    'exit.py': b'raise KeyError',
    'nested.py': b'model = {{fileDirname}}',
    'imports.py': b'custom_imports = 5',
    'imports_list.py': b'custom_imports = dict(imports=[5])',
}


@pytest.mark.parametrize('name', FILES)
def test_config_file_is_refused_in_a_sentence(name, world):
    ended = run_tool('train', world.file(name, FILES[name]))
    assert ended.error, ended.output[-3000:]


@pytest.mark.parametrize('name', ['RANK', 'WORLD_SIZE', 'LOCAL_RANK'])
@pytest.mark.parametrize('value', ['', 'x', '-1', '1.5'])
def test_variable_of_a_launcher(name, value, world, monkeypatch):
    monkeypatch.setenv(name, value)
    options = ['--launcher', 'pytorch'] if name != 'LOCAL_RANK' else []
    ended = world.train(options=options)
    assert name in ended.error, ended.output[-3000:]


@pytest.mark.parametrize('kind', ['os.system', 'os.getcwd', print, 5, ''])
def test_type_that_is_no_class_is_not_called(kind):
    with pytest.raises(MMKDError, match='the `type` of `losses.loss_kd`'):
        build_terms(dict(loss_kd=dict(type=kind)))
