"""Losses of maps and vectors train image classifiers, and refuse others."""

import pytest
import torch
from mmengine.registry import HOOKS

from mmkd_plugin import Distiller
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny, tiny_cls
from tests.helpers.classifier_runs import connect, hook_cfg, make_runner

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
