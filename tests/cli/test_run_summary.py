"""What stands first on the terminal and in the log of a training."""

import re
from types import SimpleNamespace

import pytest
import train
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmkd_plugin.cli.quiet_runner import reading_data
from mmkd_plugin.cli.run_summary import summarize
from tests.helpers import tiny_cls
from tests.helpers.tool_runs import hook_cfg, run, write_config


@HOOKS.register_module()
class TalkingHook(Hook):
    """A user's hook that logs and prints what resembles a dump."""

    def before_train(self, runner):
        runner.logger.info('Config: mine')
        runner.logger.warning('Hooks will be executed in the following order:')
        runner.logger.info('100 %', 5)  # logging tells of it
        print('index created!')


def rows_of(output):
    """The lines of a summary, by name."""
    lines = output.split(' - Training\n')[1].splitlines()
    rows = {}
    for line in lines:
        found = re.fullmatch(r'    (\S+(?: dir)?) +(.*)', line)
        if not found:
            break
        rows[found[1]] = found[2]
    return rows


@pytest.mark.slow
def test_classifier_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path, [dict(type='TalkingHook')], True)
    code, output = run(monkeypatch, capsys, train, config)
    assert code == 0
    rows = rows_of(output)
    log = rows.pop('log').split()[0]
    assert rows.pop('student').startswith('ImageClassifier, CIFARResNet')
    assert rows == {
        'config': config,
        'work dir': f'{tmp_path}/config_work',
        'teacher': 'none, no hook in `custom_hooks` distils',
        'images': '8 to train on, no validation',
        'length': 'batches of 4, 2 steps per epoch, 2 epochs',
        'precision': 'float32 on cpu',
        'seed': '1',
    }
    file = (tmp_path / 'config_work' / log).read_text()
    assert 'System environment:' in file and 'Training\n' in file
    assert 'System environment:' not in output
    # What others than MMEngine's runner say comes through.
    for text in ('Config: mine', 'Hooks will be', 'index created!'):
        assert output.count(text) == 1


@pytest.mark.slow
def test_iterations_a_seed_and_a_teacher(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth')
    config = write_config(
        tmp_path,
        [hook_cfg(teacher)],
        True,
        train_cfg=dict(by_epoch=False, max_iters=3),
        randomness=dict(seed=7, deterministic=True),
        optim_wrapper=dict(
            type='BFloat16OptimWrapper', optimizer=dict(type='SGD', lr=0.01)
        ),
    )
    code, output = run(monkeypatch, capsys, train, config)
    assert code == 0
    rows = rows_of(output)
    assert rows['teacher'] == f'a dict, weights: {tmp_path}/teacher.pth'
    assert rows['length'] == 'batches of 4, 3 steps'
    assert rows['precision'] == 'BFloat16OptimWrapper on cpu'
    assert rows['seed'] == '7, deterministic'
    told = output.split('DistillHook: teacher ImageClassifier (')[1]
    names = [line.split()[0] for line in told.splitlines()[1:4]]
    assert names == ['loss_rld', 'loss_ckd', 'schedule']


def test_loop_of_a_user():
    """A loop need not have what those of MMEngine have."""
    runner = SimpleNamespace(
        cfg=ConfigDict(
            filename='a.py',
            model=dict(init_cfg=dict(type='Pretrained', checkpoint='b.pth')),
            optim_wrapper=dict(type='AmpOptimWrapper', dtype='bfloat16'),
        ),
        model=tiny_cls.build_classifier(),
        timestamp='2026',
        work_dir='work',
        hooks=[],
        train_loop=SimpleNamespace(),
        val_loop=None,
        seed=0,
        deterministic=False,
    )
    text = summarize(runner)
    assert 'weights: b.pth' in text
    assert 'an unknown number to train on' in text
    assert 'batches of ?, ? epochs' in text
    assert 'AmpOptimWrapper in bfloat16 on cpu' in text


def test_lines_are_printed_after_an_error(capsys):
    with pytest.raises(KeyError), reading_data(None):
        print('creating index...')
        raise KeyError
    assert capsys.readouterr().out == 'creating index...\n'
