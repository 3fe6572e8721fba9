"""Losses with parameters train small classifiers, alone and in two ranks."""

import pytest
import torch
from mmengine.dist import get_rank
from torch import distributed as dist

from mmkd_plugin.losses import vid
from tests.helpers import tiny_cls
from tests.helpers.adopted import DDP, gap, losses_of, model_of, trained
from tests.helpers.classifier_runs import hook_cfg, make_runner
from tests.helpers.group import flat
from tests.helpers.quick import leave_out_what_takes_long

pytestmark = pytest.mark.slow
STAGES = dict(student_channels=[4, 8, 8], teacher_channels=[8, 16, 16])
LOSSES = dict(
    loss_ctkd=dict(type='CTKDLoss', warmup_steps=3, loss_weight=0.9),
    loss_fitnet=dict(
        type='FitNetLoss',
        loss_weight=100.0,
        regressor='conv_bn_relu',
        student_channels=[8],
        teacher_channels=[16],
        tap=dict(type='FeatureTap', modules='stages.2', resize='pool'),
    ),
    loss_vid=dict(type='VIDLoss', loss_weight=1.0, **STAGES),
    loss_ofd=dict(type='OFDLoss', loss_weight=0.001, **STAGES),
    loss_reviewkd=dict(
        type='ReviewKDLoss',
        student_channels=[4, 8, 8, 8],
        teacher_channels=[8, 16, 16, 16],
        mid_channels=None,
        loss_weight=5.0,
        tap=dict(
            type='FeatureTap',
            modules=['stages', 'pooled'],
            teacher_modules=['preactivations', 'pooled'],
            resize='keep',
        ),
    ),
)
OPTIMIZER = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.01)


def train(folder, name, epochs=2, **kwargs):
    """Two steps of four images an epoch, in two ranks one each."""
    if dist.is_initialized():
        kwargs.update(launcher='pytorch', model_wrapper_cfg=DDP)
    teacher = tiny_cls.save_teacher(folder / f'{get_rank()}.pth', width=8)
    with pytest.MonkeyPatch.context() as patch:
        leave_out_what_takes_long(patch)
        runner = make_runner(
            folder,
            [hook_cfg(teacher, losses=LOSSES), dict(type='ExactResumeHook')],
            work_dir=str(folder / name),
            experiment_name=f'{folder.name}-{name}-{len(kwargs)}-{epochs}',
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(optimizer=OPTIMIZER),
            **kwargs,
        )
        first = [p.detach().clone() for p in losses_of(runner).parameters()]
        runner.train()
    runner.first = first
    return runner


def state_of(runner):
    parts = [model_of(runner), losses_of(runner)]
    return flat(x.double() for p in parts for x in p.state_dict().values())


def check_resumed(folder):
    """A training in parts equals the whole, bit for bit."""
    whole = train(folder, 'whole')
    train(folder, 'parts', epochs=1)
    resumed = train(folder, 'parts', resume=True)
    assert whole.iter == resumed.iter
    assert torch.equal(trained(resumed), trained(whole))
    if get_rank() == 0:  # the others have loaded its statistics
        assert torch.equal(state_of(resumed), state_of(whole))
    assert losses_of(resumed)['loss_ctkd'].steps == resumed.iter
    return whole


def test_all_train_and_resume(tmp_path):
    """The guard finds a gradient of each in the first step."""
    runner = check_resumed(tmp_path)
    scalars = runner.message_hub.log_scalars
    for name in LOSSES:
        assert scalars[f'train/{name}'].data[0][-1] != 0
    last = [*losses_of(runner).parameters()]
    for before, after in zip(runner.first, last, strict=True):
        assert not torch.equal(before, after)
    groups = runner.optim_wrapper.optimizer.param_groups
    assert [group['weight_decay'] for group in groups] == [0.01, 0]
    # Theta, and the variances of three stages.
    assert len(groups[1]['params']) == 4
    saved = torch.load(tmp_path / 'whole/epoch_2.pth', weights_only=False)
    assert set(saved['distill']) == set(LOSSES)
    plain = tiny_cls.build_classifier()
    assert saved['state_dict'].keys() == plain.state_dict().keys()


def check_ranks(folder):
    runner = check_resumed(folder)
    assert gap(runner) == 0


def test_two_ranks(group, tmp_path):
    group(2).run(check_ranks, tmp_path)


def test_a_negative_term_is_no_fault(tmp_path, monkeypatch):
    """As of VID once it predicts well, here maps of zeros."""
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    saved = torch.load(tmp_path / 'teacher.pth')
    for name, value in saved['state_dict'].items():
        if name.startswith('backbone'):
            value.zero_()
    torch.save(saved, tmp_path / 'teacher.pth')
    monkeypatch.setattr(vid, 'START', 0.05)
    losses = dict(loss_vid=LOSSES['loss_vid'])
    runner = make_runner(tmp_path, [hook_cfg(teacher, losses=losses)])
    runner.train()
    values = runner.message_hub.log_scalars['train/loss_vid'].data[0]
    assert len(values) == 2 and all(value < 0 for value in values)
