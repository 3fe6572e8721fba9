"""The networks of the papers: sizes, shapes, initialisation, arguments.

That they compute what those of the published weights do is shown where those
are converted, in tests/tools/model_converters/test_convert_cifar_teachers.py.
"""

import re

import pytest
import torch
from mmengine.registry import MODELS

from mmkd_plugin.models import MobileNetV1
from tests.helpers.reference_networks import (
    PARAMETERS,
    Weights,
    mobilenet_v1,
)

WIDE = (32, 64, 128, 256)
# Name -> backbone, channels and height of the feature map.
CIFAR = {
    'resnet20': (dict(type='CIFARResNet', depth=20), 64, 8),
    'resnet32': (dict(type='CIFARResNet', depth=32), 64, 8),
    'resnet56': (dict(type='CIFARResNet', depth=56), 64, 8),
    'resnet110': (dict(type='CIFARResNet', depth=110), 64, 8),
    'resnet8x4': (dict(type='CIFARResNet', depth=8, channels=WIDE), 256, 8),
    'resnet32x4': (dict(type='CIFARResNet', depth=32, channels=WIDE), 256, 8),
    'wrn_16_2': (
        dict(type='CIFARWideResNet', depth=16, widen_factor=2),
        128,
        8,
    ),
    'wrn_40_1': (
        dict(type='CIFARWideResNet', depth=40, widen_factor=1),
        64,
        8,
    ),
    'wrn_40_2': (
        dict(type='CIFARWideResNet', depth=40, widen_factor=2),
        128,
        8,
    ),
    'vgg8': (dict(type='CIFARVGG', depth=8), 512, 4),
    'vgg13': (dict(type='CIFARVGG', depth=13), 512, 4),
    'mobilenetv2': (dict(type='CIFARMobileNetV2'), 1280, 2),
    'shufflev1': (dict(type='CIFARShuffleNetV1'), 960, 4),
    'shufflev2': (dict(type='CIFARShuffleNetV2'), 1024, 4),
    'resnet50': (dict(type='ResNet_CIFAR', depth=50), 2048, 4),
}
IMAGENET = (dict(type='MobileNetV1'), 1024, 7)
# What MMEngine is to initialise, and what stays as PyTorch does it.
KAIMING = {'CIFARResNet', 'CIFARWideResNet', 'CIFARVGG', 'CIFARMobileNetV2'}
# One of each type, without MMPretrain's.
BACKBONES = {
    backbone['type']: backbone
    for backbone, _, _ in (*CIFAR.values(), IMAGENET)
    if backbone['type'] != 'ResNet_CIFAR'
}


@pytest.mark.parametrize(
    'backbone, channels, height, parameters, classes, size',
    [(*case, PARAMETERS[name], 100, 32) for name, case in CIFAR.items()]
    + [(*IMAGENET, 4_231_976, 1000, 224)],
    ids=[*CIFAR, 'mobilenetv1'],
)
def test_classifier(backbone, channels, height, parameters, classes, size):
    pytest.importorskip('mmpretrain')
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            _scope_='mmpretrain',
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=classes,
                in_channels=channels,
            ),
        )
    ).eval()
    assert sum(p.numel() for p in model.parameters()) == parameters
    with torch.no_grad():
        images = torch.rand(1, 3, size, size)
        (feature,) = model.extract_feat(images, stage='backbone')
        assert feature.shape == (1, channels, height, height)
        assert feature.min() >= 0  # after a ReLU
        assert model(images, mode='tensor').shape == (1, classes)


@pytest.mark.parametrize('name', BACKBONES)
def test_every_parameter_gets_a_gradient(name):
    backbone = MODELS.build(BACKBONES[name])
    size = 64 if name == 'MobileNetV1' else 32
    (feature,) = backbone(torch.rand(2, 3, size, size))
    feature.square().sum().backward()
    without = [
        key
        for key, parameter in backbone.named_parameters()
        if parameter.grad is None
    ]
    assert not without


@pytest.mark.parametrize('name', BACKBONES)
def test_initialisation(name):
    torch.manual_seed(0)
    backbone = MODELS.build(BACKBONES[name])
    backbone.init_weights()
    weight = max(
        (p for p in backbone.parameters() if p.ndim == 4),
        key=torch.Tensor.numel,
    )
    if name in KAIMING:
        fan_out = weight.shape[0] * weight[0, 0].numel()
        std = (2 / fan_out) ** 0.5
        assert weight.std().item() == pytest.approx(std, rel=0.02)
        assert weight.abs().max() > 3 * std  # normal, not uniform
    else:
        bound = weight[0].numel() ** -0.5
        assert 0.99 * bound < weight.abs().max() <= bound
    for name, parameter in backbone.named_parameters():
        if parameter.ndim == 1:  # batch norms, and the biases of VGG
            value = 1 if name.endswith('weight') else 0
            assert (parameter == value).all(), name


def test_mobilenet_v1_computes_what_its_reference_does():
    torch.manual_seed(0)
    images = torch.rand(1, 3, 64, 64)
    weights = Weights()
    expected = mobilenet_v1(weights, images)
    model = MobileNetV1().eval()
    state = {}
    for name, value in weights.items():
        layer, index, kind = re.fullmatch(
            r'model\.(\d+)\.(\d)\.(\w+)', name
        ).groups()
        half = '' if layer == '0' else f'{int(index) // 3}.'
        state[f'layers.{layer}.{half}{int(index) % 3}.{kind}'] = value
    model.load_state_dict(state)
    assert (expected > 0).any()
    torch.testing.assert_close(model(images)[0], expected)


@pytest.mark.parametrize(
    'backbone, message',
    [
        (
            dict(type='CIFARResNet', depth=18),
            'Expected argument `depth` to be 6n + 2, such as 8, 20, 32, 56 '
            'or 110, but got 18.',
        ),
        (
            dict(type='CIFARResNet', depth=2),
            'Expected argument `depth` to be 6n + 2, such as 8, 20, 32, 56 '
            'or 110, but got 2.',
        ),
        (
            dict(type='CIFARResNet', depth=20, channels=(16, 32, 64)),
            'Expected argument `channels` to hold four numbers, of the stem '
            'and of the three stages, but got (16, 32, 64).',
        ),
        (
            dict(type='CIFARWideResNet', depth=20, widen_factor=2),
            'Expected argument `depth` to be 6n + 4, such as 16 or 40, but '
            'got 20.',
        ),
        (
            dict(type='CIFARWideResNet', depth=16, widen_factor=0),
            'Expected argument `widen_factor` to be an integer from 1 to '
            '64 but got 0.',
        ),
        (
            dict(type='CIFARVGG', depth=11),
            'Expected argument `depth` to be one of [8, 13], but got 11.',
        ),
        (
            dict(type='CIFARMobileNetV2', widen_factor=0.05),
            'Expected argument `widen_factor` to be a number from 0.0625 '
            'to 16 but got 0.05.',
        ),
    ],
)
def test_arguments_out_of_range(backbone, message):
    # MMEngine may put the place where it happened before the sentence.
    with pytest.raises(ValueError, match=re.escape(message) + '$'):
        MODELS.build(backbone)
