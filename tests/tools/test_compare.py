"""tools/compare.py: from a student to a comparison in one command."""

import json
import os
import sys
from pathlib import Path

import compare
import pytest
from mmengine.config import Config

from tests.helpers.commands import REPO, run_tool, unchanged

ACCURACY = dict(type='Accuracy', topk=1)
OUT = Path('work_dirs', 'compare', 'config')


@pytest.fixture
def student(world, monkeypatch):
    """A classifier with a validation, and what its trainings need."""
    monkeypatch.setenv('PYTHONPATH', f'{REPO}{os.pathsep}{REPO / "tools"}')
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')

    def student(**changes):
        cfg = dict(
            custom_imports=dict(imports=['tests.helpers.commands']),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            param_scheduler=[dict(type='CosineAnnealingLR', T_max=2)],
            val_dataloader=world.loader(),
            val_cfg=dict(),
            val_evaluator=ACCURACY,
            visualizer=dict(
                type='UniversalVisualizer',
                vis_backends=[dict(type='LocalVisBackend')],
            ),
        )
        return world.config([], **{**cfg, **changes})

    return student


def give(config, *options, methods=('kd', 'dist')):
    """Give the command."""
    argv = ['config.py', '--teacher', 'teacher.py', 'teacher.pth']
    argv += ['--methods', *methods, '--seeds', '0', *options]
    assert Path(config).name == 'config.py'
    return run_tool('compare', *argv)


@pytest.mark.slow
def test_from_a_student_to_a_table(student, capfd):
    config = student()
    options = ['--epochs', '1', '--jobs', '2']
    ended = give(
        config, *options, '--cfg-options', 'optim_wrapper.optimizer.lr=0.1'
    )
    text = ended.output
    assert ended.code == 0, text
    for name in ('student', 'kd', 'dist'):
        assert f'  {name}: fits' in text
        assert f'{name}, seed 0, epoch 1: accuracy/top1 ' in text
        result = json.loads((OUT / name / 'seed_0/result.json').read_text())
        assert (result['metric'], result['last_step']) == ('accuracy/top1', 1)
        (attempt,) = result['attempts']
        assert attempt['memory'] > 50
        assert attempt['command'][-2:] == [
            'optim_wrapper.optimizer.lr=0.1',
            'randomness.seed=0',
        ]
    assert text.index('  kd: fits') < text.index('3 of 3 trainings to do')
    assert '| kd ' in (OUT / 'results.md').read_text()
    said = json.loads((OUT / 'compare.json').read_text())
    assert said['command'].startswith('python tools/compare.py config.py --t')
    del said['command']
    assert said == dict(
        student='config.py',
        teacher_config='teacher.py',
        teacher_checkpoint='teacher.pth',
        methods=['kd', 'dist'],
        seeds=[0],
        epochs=1,
    )
    cfg = Config.fromfile(OUT / 'configs' / 'kd.py')
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[0].T_max == 1
    assert cfg.custom_hooks[0].teacher == dict(
        config='teacher.py', checkpoint='teacher.pth'
    )
    # The settings of ImageNet, where nothing says otherwise.
    assert cfg.model.head.loss.loss_weight == 0.5

    # Everything is there already; another method is added.
    again = give(
        config, *options, '--cfg-options', 'optim_wrapper.optimizer.lr=0.1'
    )
    assert again.code == 0 and '0 of 3 trainings to do' in again.output
    assert 'Checking' not in again.output
    # Other settings are not mixed with these.
    for other, expected in (
        (['--epochs', '2'], 'holds trainings with epochs = 1, not 2'),
        (options, 'was trained with other settings (config.optim_wrapper'),
    ):
        ended = give(config, *other)
        assert ended.code == 1 and expected in ended.error


@pytest.mark.slow
def test_nothing_is_trained_if_one_does_not_fit(student):
    ended = give(student(), methods=('kd', 'crosskd', 'fgd'))
    assert ended.code == 1
    assert ended.error == (
        '2 of 4 runs would not train, so nothing was started: correct what is '
        'said above of crosskd, fgd, or leave them out.'
    )
    assert '  kd: fits' in ended.output
    assert not list(OUT.glob('*/seed_*'))
    # Another attempt in the same folder may be a different one.
    ended = give(student(), '--epochs', '1', methods=('fgd',))
    assert '1 of 2 runs would not train' in ended.error


@pytest.mark.parametrize(
    'changes, options, expected',
    [
        ({}, ['--methods', 'kdd'], 'did you mean kd'),
        ({}, ['--epochs', '0'], 'expected 1 or more --epochs but got 0'),
        ({}, ['--jobs', '0'], 'expected at least one job'),
        ({}, ['--cfg-options', 'a'], 'expected KEY=VALUE'),
        ({}, ['--cfg-options', 'nowhere.b=1'], 'names nothing that the'),
        ({}, ['--seeds', '0', '0'], 'Expected different whole numbers'),
        ({}, ['--seeds', '-1'], 'Expected different whole numbers'),
        (dict(val_evaluator=dict(type='Mine')), [], 'not known for Mine'),
        (dict(val_evaluator=None), [], 'does not validate'),
        (
            dict(train_cfg=dict(by_epoch=False, max_iters=3)),
            ['--epochs', '1'],
            'has no `max_epochs`',
        ),
    ],
)
def test_mistakes(student, changes, options, expected):
    ended = give(student(**changes), *options)
    assert ended.error and expected in ended.error, ended.output
    assert not list(OUT.glob('*/seed_*'))


def test_a_mistake_leaves_no_folder(student):
    assert 'did you mean' in give(student(), '--methods', 'kdd').error
    assert not OUT.exists()


def test_a_longer_training_is_noted(student, monkeypatch, capsys):
    """Of a method whose fragment brings its own schedule."""
    config = student()
    command = ['compare.py', config, '--teacher', 'teacher.py', 'teacher.pth']
    for options, count in (([], 1), (['--epochs', '3'], 0)):
        argv = [*command, '--methods', 'ckd', 'kd', *options]
        monkeypatch.setattr(sys, 'argv', argv)
        args = compare.parse_args()
        out = Path('out').resolve()
        with unchanged():
            plan = compare.prepare(args, Config.fromfile(config), out)
        assert [*plan.runs] == ['student', 'ckd', 'kd']
        assert capsys.readouterr().out.count('ckd trains 200 epochs') == count
