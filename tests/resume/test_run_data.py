"""What a checkpoint says of its run steers nothing when it is resumed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import CheckpointHook

from mmkd_plugin.checkpoints.stand_in import StandIn
from mmkd_plugin.cli.errors import explain
from mmkd_plugin.resume.run_data import sanitize_run_data


def make(**info):
    return dict(
        meta=dict(epoch=1, iter=2, seed=3, x=StandIn('my.Thing', ())),
        message_hub=dict(
            log_scalars={}, runtime_info=dict(info), resumed_keys={}
        ),
        state_dict={},
        optimizer=dict(state={}, param_groups=[dict(params=[0])]),
        param_schedulers=[{}],
    )


@pytest.fixture
def runner(tmp_path):
    work = tmp_path / 'work'
    work.mkdir()
    hook = CheckpointHook(out_dir=str(tmp_path / 'out'))
    return SimpleNamespace(work_dir=str(work), hooks=[hook])


def problem(runner, content):
    with pytest.raises(ValueError) as caught:
        sanitize_run_data(runner, content, 'FILE')
    return explain(caught.value)


def test_stand_ins_do_no_harm_in_meta_and_runtime_info(runner):
    sanitize_run_data(runner, make(a=StandIn('my.Thing', ())), 'FILE')


@pytest.mark.parametrize(
    'place',
    [
        'optimizer.state.0',
        'optimizer.param_groups.0.lr',
        'param_schedulers.0.step',
        'state_dict.w',
        'ema_state_dict.w',
        'message_hub.log_scalars.loss',
        'exact_resume.batches',
    ],
)
def test_stand_in_where_training_needs_a_value(runner, place):
    content = make()
    *parents, last = place.split('.')
    part = content
    for name in parents:
        if isinstance(part, list):
            part = part[int(name)]
        else:
            part = part.setdefault(name, {})
    part[int(last) if last == '0' else last] = StandIn('my.Thing', ())
    assert problem(runner, content) == (
        f'The checkpoint FILE cannot be resumed: its {place} is an object of '
        'my.Thing, which is not known. Start from its weights with '
        '--cfg-options load_from=FILE, or give --trust-checkpoint if you '
        'know where it comes from.'
    )


@pytest.mark.parametrize(
    'key, value',
    [
        ('seed', 'x'),
        ('seed', -1),
        ('seed', 1 << 40),
        ('epoch', '1'),
        ('iter', None),
        ('best_score', 'high'),
    ],
)
def test_number_that_is_none(runner, key, value):
    content = make(**{key: value} if key == 'best_score' else {})
    if key != 'best_score':
        content['meta'][key] = value
    assert problem(runner, content) == (
        f'The checkpoint FILE cannot be resumed: its {key} is not as '
        'MMEngine writes it. Start from its weights with --cfg-options '
        'load_from=FILE.'
    )


@pytest.mark.parametrize(
    'key', ['meta', 'message_hub', 'optimizer', 'param_schedulers']
)
def test_part_of_another_kind(runner, key):
    said = problem(runner, make() | {key: 'x'})
    assert f'its {key} is not as MMEngine writes it' in said


def test_files_of_others_are_forgotten(runner, tmp_path):
    work, out = tmp_path / 'work', tmp_path / 'out' / 'work'
    (work / 'folder.pth').mkdir()
    others = dict(
        best_ckpt=str(tmp_path),
        best_ckpt_a=str(tmp_path / 'a.pth'),
        best_ckpt_b=str(work / '..' / 'a.pth'),
        best_ckpt_c=str(work / 'config.py'),
        best_ckpt_d=str(work / 'folder.pth'),
        best_ckpt_e=5,
        last_ckpt='/etc/passwd',
        keep_ckpt_ids=['/../../x'],
    )
    own = dict(
        best_ckpt_f=str(work / 'best_a_epoch_1.pth'),
        best_ckpt_g=str(out / 'best_b_epoch_1.pth'),
        best_score=np.float64(0.5),
        best_score_a=torch.tensor(0.5),
    )
    content = make(**others, **own)
    sanitize_run_data(runner, content, 'FILE')
    assert content['message_hub']['runtime_info'].keys() == own.keys()
    content = make(keep_ckpt_ids=[1, 2])
    sanitize_run_data(runner, content, 'FILE')
    assert content['message_hub']['runtime_info'] == dict(keep_ckpt_ids=[1, 2])
