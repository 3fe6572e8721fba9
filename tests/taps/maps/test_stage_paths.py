"""The stages of the networks for CIFAR, and what is before their ReLU."""

import pytest
import torch
from torch.nn import functional as F

from mmkd_plugin.taps.maps.recorder import Recorder
from mmkd_plugin.taps.maps.stage_paths import places
from tests.helpers import tiny, tiny_cls
from tests.helpers.stage_networks import NETWORKS, build

each_network = pytest.mark.parametrize('name', NETWORKS)


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
