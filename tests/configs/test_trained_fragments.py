"""Fragments of methods with trained parts, with pairs of CIFAR-100."""

import pytest
import torch
from mmengine.config import Config

from mmkd_plugin import Distiller
from mmkd_plugin.cli.method_option import use_method
from mmkd_plugin.teachers import Teacher
from tests.helpers.cls_configs import CONFIGS

mmpretrain = pytest.importorskip('mmpretrain')

# Equal networks, and each kind of stages as student and teacher.
PAIRS = [
    'resnet56_resnet20',
    'vgg13_mobilenetv2',
    'wrn_40_2_shufflev1',
    'wrn_40_2_mobilenetv2',
    'resnet50_mobilenetv2',
    'resnet32x4_shufflev2',
]
WEIGHTS = dict(
    resnet56_resnet20=0.6,
    resnet50_mobilenetv2=30.0,
    resnet32x4_shufflev2=8.0,
)


def method_of(pair, method):
    """Config of a pair, and its one loss."""
    cfg = Config.fromfile(CONFIGS / f'cifar100/{pair}.py')
    use_method(cfg, method)
    (hook,) = (hook for hook in cfg.custom_hooks if 'teacher' in hook)
    ((name, loss),) = hook.losses.items()
    return cfg, hook, name, loss


@pytest.mark.slow
@pytest.mark.parametrize('method', ['reviewkd', 'fitnet'])
@pytest.mark.parametrize('pair', PAIRS)
def test_both_networks_give_the_maps(tmp_path, pair, method):
    """A step gives every part a gradient."""
    cfg, hook, name, _ = method_of(pair, method)
    models = []
    for model in (
        cfg.model,
        Config.fromfile(
            CONFIGS / f'cifar100/{hook.teacher.config.rsplit("/", 1)[-1]}'
        ).model,
    ):
        torch.manual_seed(0)
        models.append(mmpretrain.registry.MODELS.build(model).train())
    student, teacher = models
    torch.save(teacher.state_dict(), tmp_path / 'teacher.pth')
    distiller = Distiller(hook.losses)
    distiller.attach(
        student, [Teacher(hook.teacher.config, str(tmp_path / 'teacher.pth'))]
    )
    samples = [
        mmpretrain.structures.DataSample().set_gt_label(n) for n in range(4)
    ]
    losses = student(torch.randn(4, 3, 32, 32), samples, mode='loss')
    losses[name].backward()
    loss = distiller.losses[name]
    for key, parameter in loss.named_parameters():
        assert parameter.grad.isfinite().all(), key
        # A bias before batch normalisation has none.
        if key.endswith('.0.weight'):
            assert parameter.grad.ne(0).any(), key


@pytest.mark.parametrize('pair', PAIRS)
def test_settings(pair):
    _, hook, _, loss = method_of(pair, 'reviewkd')
    assert loss.loss_weight == WEIGHTS.get(pair, 5.0)
    assert hook.warmup == 20
    _, _, _, loss = method_of(pair, 'fitnet')
    signed = pair.startswith('wrn')
    assert loss.regressor == ('conv_bn' if signed else 'conv_bn_relu')
    assert loss.loss_weight == 100.0
    cfg, _, _, _ = method_of(pair, 'ctkd')
    assert cfg.model.head.loss.loss_weight == 0.1
