"""Training by the terms alone, without the student's own losses."""

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from mmkd_plugin import Distiller, DistillHook
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny, tiny_cls
from tests.helpers.classifier_runs import hook_cfg, make_runner

KD = dict(loss_kd=dict(type='KDLoss', tau=4.0))
MAPS = dict(
    loss_pkd=dict(
        type='PKDLoss',
        loss_weight=1.0,
        tap=dict(type='FeatureTap', levels=['p3']),
    )
)


@pytest.fixture
def cfg(tmp_path):
    return tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)


def attach(model, cfg, losses=KD, classes=tiny_cls.CLASSES, **kwargs):
    distiller = Distiller(losses, **kwargs)
    distiller.attach(model, [Teacher(**cfg)], classes)
    return distiller


def output_of(model):
    data = model.data_preprocessor(tiny_cls.batch(0, 1, 2), True)
    return model(**data, mode='loss')


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters()}


def test_gradient_is_that_of_the_term_alone(cfg):
    found = []
    for task_loss in (True, False):
        model = tiny_cls.build_classifier().train()
        attach(model, cfg, task_loss=task_loss)
        output = output_of(model)
        loss, logged = model.parse_losses(output)
        (loss if not task_loss else output['loss_kd']).backward()
        found.append((gradients(model), logged))
    (wanted, whole), (grads, logged) = found
    assert grads.keys() == wanted.keys()
    for name in grads:
        assert torch.equal(grads[name], wanted[name]), name
    assert logged['loss'] == logged['loss_kd'] == whole['loss_kd']
    assert logged['kd_task'] == whole['loss_cls'] > 0
    assert [name for name in logged if 'loss' in name] == ['loss', 'loss_kd']


def test_losses_of_a_detector_are_logged_under_other_names(tmp_path):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=8)
    model = tiny.build_detector().train()
    attach(model, teacher, MAPS, tiny.CLASSES, task_loss=False)
    data = model.data_preprocessor(tiny.batch(0, 1), True)
    loss, logged = model.parse_losses(model(**data, mode='loss'))
    assert logged['loss'] == logged['loss_pkd'] > 0
    # Lists of levels, and what is no loss.
    assert logged['kd_task_rpn_cls'] > 0 and logged['kd_task_bbox'] >= 0
    assert 'acc' in logged
    loss.backward()
    # No term reads the heads, but other processes wait for each gradient.
    for name, grad in gradients(model).items():
        is_head = 'head' in name
        assert grad is not None and (not is_head or not grad.any()), name
    assert model.backbone.conv1.weight.grad.any()


def test_value_that_is_nan_does_no_harm(cfg):
    model = tiny_cls.build_classifier().train()
    attach(model, cfg, task_loss=False)
    model.head.loss_module.register_forward_hook(
        lambda module, args, output: output * float('nan')
    )
    loss, logged = model.parse_losses(output_of(model))
    loss.backward()
    assert logged['kd_task'].isnan() and loss.isfinite()
    assert all(g.isfinite().all() for g in gradients(model).values())


@pytest.mark.parametrize('first', [True, False])
def test_terms_of_other_hooks_stay(cfg, first):
    model = tiny_cls.build_classifier().train()
    other = dict(loss_dist=dict(type='DISTLoss', beta=1, gamma=1, tau=1))
    attach(model, cfg, task_loss=first)
    attach(model, cfg, other, task_loss=not first, log_prefix='second')
    _, logged = model.parse_losses(output_of(model))
    assert logged['loss'] == logged['loss_kd'] + logged['loss_dist']
    assert ('second_task' if first else 'kd_task') in logged


def test_model_is_as_before_once_detached(cfg):
    model = tiny_cls.build_classifier().train()
    attach(model, cfg, task_loss=False).detach()
    assert output_of(model)['loss'].requires_grad
    assert not model._forward_hooks


def test_evaluation_is_left_alone(cfg):
    model = tiny_cls.build_classifier().train()
    attach(model, cfg, task_loss=False)
    assert 'loss' in output_of(model.eval())


def test_every_parameter_has_its_gradient_under_ddp(tmp_path):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=8)
    model = tiny.build_detector().train()
    attach(model, teacher, MAPS, tiny.CLASSES, task_loss=False)
    data = model.data_preprocessor(tiny.batch(0, 1), True)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1
    )
    try:
        wrapped = DistributedDataParallel(model)
        for _ in range(2):  # the second says if the first was incomplete
            output = wrapped(**data, mode='loss')
            model.parse_losses(output)[0].backward()
    finally:
        torch.distributed.destroy_process_group()


def test_runner_trains_by_the_terms(tmp_path, cfg):
    hook = hook_cfg(cfg, losses=KD, task_loss=False, warmup=2)
    runner = make_runner(tmp_path, [hook])
    runner.train()
    scalars = runner.message_hub.log_scalars
    values = {name: scalars[name].data[0] for name in scalars}
    assert list(values['train/loss']) == list(values['train/loss_kd'])
    assert len(values['train/kd_task']) == 2


@pytest.mark.parametrize('times', [dict(begin=1), dict(end=3)])
def test_steps_without_any_loss_are_refused(cfg, times):
    with pytest.raises(ValueError, match='leave steps without'):
        DistillHook(cfg, KD, task_loss=False, **times)
