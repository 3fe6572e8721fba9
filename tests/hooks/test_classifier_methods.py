"""Losses of maps and vectors train image classifiers, and refuse others.

With those whose parts are trained beside the student.
"""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS

from mmkd_plugin import Distiller
from mmkd_plugin.checkpoints.unpickling import load_from_local
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny, tiny_cls
from tests.helpers.classifier_runs import connect, hook_cfg, make_runner
from tests.helpers.quick import leave_out_what_takes_long

METHODS = Path(__file__).parents[2] / 'configs/_base_/methods'

LOSSES = dict(
    loss_at=dict(type='ATLoss', loss_weight=1000.0),
    loss_sp=dict(type='SPLoss', loss_weight=3000.0),
    loss_rkd=dict(type='RKDLoss', distance_weight=25.0, angle_weight=50.0),
    loss_catkd=dict(
        type='CATKDLoss', loss_weight=15.0, size=2, normalize=False
    ),
)


@pytest.fixture
def teacher(tmp_path):
    """Another width than the student's, and its classes turned round."""
    return tiny_cls.save_teacher(
        tmp_path / 'teacher.pth', width=8, classes=tiny_cls.CLASSES[::-1]
    )


def test_all_train(tmp_path, teacher):
    """The guard of the hook finds a gradient of each in the first step."""
    runner = make_runner(tmp_path, [hook_cfg(teacher, losses=LOSSES)])
    runner.train()
    scalars = runner.message_hub.log_scalars
    for name in LOSSES:
        assert scalars[f'train/{name}'].data[0][-1] > 0
    assert scalars['train/loss'].data[0][-1] == pytest.approx(
        sum(
            scalars[f'train/{name}'].data[0][-1]
            for name in ('loss_cls', *LOSSES)
        ),
        rel=1e-5,
    )


def test_batches_too_small_to_compare_do_not_stop_a_run(tmp_path, teacher):
    """As the last of an epoch, or the first."""
    losses = {name: LOSSES[name] for name in ('loss_sp', 'loss_rkd')}
    loader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Pictures', length=3),
    )
    runner = make_runner(
        tmp_path,
        [hook_cfg(teacher, losses=losses)],
        train_dataloader=loader,
        model=dict(width=4),
    )
    runner.train()
    for name in losses:
        value = runner.message_hub.log_scalars[f'train/{name}'].data[0]
        assert all(abs(x) < 1e-3 for x in value)


def test_placeholder_while_no_teacher_runs(teacher):
    """At factor 0 the terms are 0 and attached."""
    model = tiny_cls.build_classifier().train()
    hook = connect(HOOKS.build(hook_cfg(teacher, losses=LOSSES)), model)
    hook.distiller.factor = 0.0
    data = model.data_preprocessor(tiny_cls.batch(0, 1, 2), True)
    losses = model(**data, mode='loss')
    for name in LOSSES:
        assert losses[name] == 0 and losses[name].requires_grad


@pytest.mark.parametrize(
    'name, message',
    [
        ('loss_rkd', 'student FasterRCNN to have a neck that pools'),
        ('loss_catkd', 'FasterRCNN to have a neck GlobalAveragePooling'),
    ],
)
def test_detector(tmp_path, teacher, name, message):
    model = tiny.build_detector().train()
    hook = HOOKS.build(hook_cfg(teacher, losses={name: LOSSES[name]}))
    with pytest.raises(TypeError, match=message):
        connect(hook, model)


@pytest.mark.parametrize('name', ['loss_at', 'loss_sp'])
def test_stages_of_a_detector(tmp_path, name):
    """It has some: they train a detector too."""
    model = tiny.build_detector().train()
    teacher = tiny.save_teacher(tmp_path / 'detector.pth', width=16)
    distiller = Distiller({name: LOSSES[name]})
    distiller.attach(model, [Teacher(**teacher)], tiny.CLASSES)
    data = model.data_preprocessor(tiny.batch(0, 1), True)
    value = model(**data, mode='loss')[name]
    assert value > 0
    # The last batch norm of a block begins with a weight of 0.
    grad = torch.autograd.grad(value, model.backbone.layer2[0].bn2.weight)
    assert grad[0].ne(0).any()


def trained(tmp_path, teacher, method, epochs=2, **changes):
    """Runner and loss after an epoch or two by the fragment of a method."""
    fragment = Config.fromfile(METHODS / f'{method}.py')
    hook = dict(fragment.distill, teacher=teacher, warmup=0)
    if method == 'ctkd':
        # Not after ten epochs: whole from the second step on.
        hook['losses']['loss_ctkd']['warmup_steps'] = 2
    optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4)
    runner = make_runner(
        tmp_path,
        [hook, dict(type='ExactResumeHook')],
        optim_wrapper=dict(optimizer=optimizer),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        **changes,
    )
    with pytest.MonkeyPatch.context() as patch:
        leave_out_what_takes_long(patch)
        runner.train()
    (hook,) = (h for h in runner.hooks if hasattr(h, 'distiller'))
    ((name, loss),) = hook.distiller.losses.items()
    assert runner.message_hub.log_scalars[f'train/{name}'].data[0][-1] > 0
    return runner, name, loss


@pytest.mark.slow
@pytest.mark.parametrize(
    'method', ['cifar100_reviewkd', 'cifar100_fitnet', 'ctkd']
)
def test_trained_parts(tmp_path, teacher, method):
    """They learn, stand beside the student in its file, and go on."""
    runner, name, loss = trained(tmp_path / 'whole', teacher, method)
    work = tmp_path / 'whole/work'
    first, last = (
        load_from_local(work / f'epoch_{epoch}.pth') for epoch in (1, 2)
    )
    tiny_cls.build_classifier().load_state_dict(last['state_dict'])
    for key, value in loss.state_dict().items():
        assert last['distill'][name][key].equal(value)
    for key, _ in loss.named_parameters():
        parts = [file['distill'][name][key] for file in (first, last)]
        assert not parts[0].equal(parts[1]), key
    trained(tmp_path / 'parts', teacher, method, epochs=1)
    again = trained(tmp_path / 'parts', teacher, method, resume=True)
    for own, other in ((runner.model, again[0].model), (loss, again[2])):
        for key, value in own.state_dict().items():
            assert other.state_dict()[key].equal(value), key


def test_temperature_has_no_weight_decay(tmp_path, teacher):
    runner, _, loss = trained(tmp_path, teacher, 'ctkd', epochs=1)
    assert loss.steps == 2
    decays = {
        group['weight_decay']
        for group in runner.optim_wrapper.optimizer.param_groups
        if any(parameter is loss.theta for parameter in group['params'])
    }
    assert decays == {0.0}
    others = runner.optim_wrapper.optimizer.param_groups
    assert {group['weight_decay'] for group in others} == {0.0, 5e-4}
