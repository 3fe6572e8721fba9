"""The stages of the networks for CIFAR, and what is before their ReLU."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.utils import register_all_modules
from torch.nn import functional as F

from mmkd_plugin.taps.recorder import Recorder
from mmkd_plugin.taps.stage_paths import places
from tests.helpers import tiny, tiny_cls

WIDE = (32, 64, 128, 256)
R56 = dict(type='CIFARResNet', depth=20)
# Backbone -> channels and height of its stages, of 32 x 32 pixels, and how
# the stage follows from the map before its ReLU.
NETWORKS = {
    'resnet20': (R56, '16@32 32@16 64@8', F.relu),
    'resnet8x4': (
        dict(type='CIFARResNet', depth=8, channels=WIDE),
        '64@32 128@16 256@8',
        F.relu,
    ),
    'wrn_16_2': (
        dict(type='CIFARWideResNet', depth=16, widen_factor=2),
        '32@32 64@16 128@8',
        None,  # the next batch norm
    ),
    'vgg8': (
        dict(type='CIFARVGG', depth=8),
        '128@16 256@8 512@4 512@4',
        F.relu,
    ),
    'vgg13': (
        dict(type='CIFARVGG', depth=13),
        '128@16 256@8 512@4 512@4',
        F.relu,
    ),
    'shufflev1': (
        dict(type='CIFARShuffleNetV1'),
        '240@16 480@8 960@4',
        F.relu,
    ),
    'shufflev2': (
        dict(type='CIFARShuffleNetV2'),
        '116@16 232@8 464@4',
        lambda before: F.channel_shuffle(before, 2).relu(),
    ),
    'mobilenetv2': (
        dict(type='CIFARMobileNetV2'),
        '12@16 16@8 48@4 160@2',
        None,  # refused
    ),
    'resnet50': (
        dict(type='ResNet_CIFAR', depth=50),
        '256@32 512@16 1024@8 2048@4',
        F.relu,
    ),
    # Of 32 pixels too: its strides are 4 to 32.
    'mobilenetv1': (
        dict(type='MobileNetV1'),
        '128@8 256@4 512@2 1024@1',
        F.relu,
    ),
    'resnet18': (
        dict(type='ResNet', depth=18),
        '64@8 128@4 256@2 512@1',
        F.relu,
    ),
}
each_network = pytest.mark.parametrize('name', NETWORKS)


def build(name):
    """A classifier of that backbone, in training."""
    register_all_modules(init_default_scope=False)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=NETWORKS[name][0],
                neck=dict(type='GlobalAveragePooling'),
            )
        ).train()


def run(model, *names):
    """The maps by those names, and the vector that the neck gives."""
    paths = places(model, names)
    recorder = Recorder(model, paths, 'student')
    recorder.open()
    torch.manual_seed(1)
    (pooled,) = model.extract_feat(torch.randn(2, 3, 32, 32))
    maps = recorder.take()
    recorder.close()
    return maps, pooled


@each_network
def test_shapes_of_the_stages(name):
    maps, _ = run(build(name), 'stages')
    found = ' '.join(f'{m.shape[1]}@{m.shape[2]}' for m in maps)
    assert found == NETWORKS[name][1]


@each_network
def test_preactivations(name):
    after = NETWORKS[name][2]
    model = build(name)
    if name == 'mobilenetv2':
        message = 'knows no preactivations of the CIFARMobileNetV2'
        with pytest.raises(TypeError, match=message):
            places(model, ['preactivations'])
        return
    maps, _ = run(model, 'stages', 'preactivations')
    half = len(maps) // 2
    for stage, before in zip(maps[:half], maps[half:], strict=True):
        assert before.shape == stage.shape
        assert before.min() < 0 and before.requires_grad
        if after is not None:
            assert torch.equal(after(before), stage)


def test_preactivations_of_wide_resnet():
    """What the batch norms give that the stages go to."""
    model = build('wrn_16_2')
    maps, pooled = run(model, 'stages', 'preactivations')
    norms = ['block2.0.bn1', 'block3.0.bn1', 'bn1']
    for stage, path, before in zip(maps, norms, maps[3:], strict=False):
        assert stage.min() < 0
        norm = model.backbone.get_submodule(path)
        expected = F.batch_norm(
            stage, None, None, norm.weight, norm.bias, training=True
        )
        torch.testing.assert_close(before, expected)
    torch.testing.assert_close(maps[-1].relu().mean((2, 3)), pooled)


@each_network
def test_reading_changes_nothing(name):
    """Neither values nor gradients, also before a ReLU in place."""
    names = ['stages', 'pooled']
    if name != 'mobilenetv2':
        names.append('preactivations')
    results = []
    for wanted in ([], names):
        model = build(name)
        _, pooled = run(model, *wanted)
        pooled.square().sum().backward()
        grads = [p.grad for p in model.parameters()]
        results.append([pooled, *grads, *model.buffers()])
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize('name', ['vgg8', 'resnet18', 'resnet20'])
def test_gradient_of_a_preactivation_reaches_the_network(name):
    model = build(name)
    maps, _ = run(model, 'preactivations.1')
    maps[0].sum().backward()
    assert next(model.parameters()).grad.ne(0).any()


def test_pooled():
    maps, pooled = run(build('resnet20'), 'stages', 'pooled')
    assert maps[-1].shape == (2, 64, 1, 1)
    assert torch.equal(maps[-1].flatten(1), pooled)


def test_one_stage():
    model = build('mobilenetv2')
    found = places(model, ['stages.1', 'stages.-1', 'backbone.conv1'])
    assert found == (
        'backbone.blocks.1',
        'backbone.blocks.6',
        'backbone.conv1',
    )


@pytest.mark.parametrize('number', ['0', '5', '-5', 'last'])
def test_stage_that_there_is_not(number):
    message = f'4 stages, but FeatureTap is to read .stages.{number}.: write'
    with pytest.raises(TypeError, match=message):
        places(build('mobilenetv2'), [f'stages.{number}'])


def test_detector():
    """Its backbone has stages, its neck pools nothing."""
    model = tiny.build_detector()
    assert places(model, ['stages'])[0] == 'backbone.layer1'
    found = places(model, ['preactivations.-1'])
    assert found == ('backbone.layer4.1.relu@input',)
    with pytest.raises(TypeError, match='a neck that pools, .* has a FPN'):
        places(model, ['pooled'], 'student')


def test_backbone_without_stages():
    model = tiny_cls.build_classifier()
    model.backbone = torch.nn.Conv2d(3, 4, 3)
    model.neck = None
    for name in ('stages', 'preactivations'):
        with pytest.raises(TypeError, match=f'no {name} of the Conv2d'):
            places(model, [name])
    with pytest.raises(TypeError, match='it has none'):
        places(model, ['pooled'])
