"""Margins of OFD: against an integral, and of which batch norm."""

import math

import pytest
import torch
from torch import nn

from mmkd_plugin.taps.maps.margins import margins, margins_at
from mmkd_plugin.taps.maps.stage_paths import places
from tests.helpers.stage_networks import build


def integral(scale, shift):
    """The mean of what is below 0, by adding up the density."""
    s = abs(scale)
    step = s / 2000
    weight = moment = 0
    for k in range(20 * 2000):
        x = min(0, shift + 10 * s) - (k + 0.5) * step
        density = math.exp(-(((x - shift) / s) ** 2) / 2)
        weight += density
        moment += density * x
    return moment / weight


@pytest.mark.parametrize(
    'scale, shift',
    [(1.0, 0.0), (2.0, 1.0), (-0.5, 0.3), (0.1, -0.4), (1.5, 4.5)],
)
def test_equals_the_integral(scale, shift):
    found = margins(torch.tensor([scale]), torch.tensor([shift]))
    assert found.item() == pytest.approx(integral(scale, shift), rel=1e-4)


@pytest.mark.parametrize(
    'scale, shift, expected',
    [
        (1.0, 3.2, -3.0),  # below 0 in 7 of 10,000
        (-2.0, 50.0, -6.0),
        (0.1, -50.0, -50.0),
        (0.0, 0.7, 0.0),
        (0.0, 0.0, 0.0),
        (0.0, -0.7, -0.7),
        (1e-20, -0.7, -0.7),
    ],
)
def test_rare_numbers_and_pruned_channels(scale, shift, expected):
    found = margins(torch.tensor([scale]), torch.tensor([shift]))
    assert found.item() == pytest.approx(expected)


def test_half_precision():
    found = margins(torch.ones(2).half(), torch.zeros(2).half())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.full((2,), -0.7978846))


# Teacher -> the batch norms before its ReLUs.
NORMS = dict(
    resnet20='layer1.2.bn2 layer2.2.bn2 layer3.2.bn2',
    wrn_16_2='block2.0.bn1 block3.0.bn1 bn1',
    vgg8='block1.1 block2.1 block3.1 block4.1',
    vgg13='block1.4 block2.4 block3.4 block4.4',
    resnet50='layer1.2.bn3 layer2.3.bn3 layer3.5.bn3 layer4.2.bn3',
    resnet18='layer1.1.bn2 layer2.1.bn2 layer3.1.bn2 layer4.1.bn2',
    mobilenetv1='layers.3.1.1 layers.5.1.1 layers.11.1.1 layers.13.1.1',
)


@pytest.mark.parametrize('name', NORMS)
def test_batch_norm_of_each_network(name):
    model = build(name)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight)
            nn.init.normal_(norm.bias)
    found = places(model, ['preactivations'])
    for place, path in zip(found, NORMS[name].split(), strict=True):
        norm = model.backbone.get_submodule(path)
        expected = margins(norm.weight, norm.bias)
        assert torch.equal(margins_at(model, place), expected)


@pytest.mark.parametrize('name', ['shufflev1', 'shufflev2'])
def test_shufflenet(name):
    model = build(name)
    place = places(model, ['preactivations'])[0]
    message = r"ImageClassifier has none at 'backbone.layer1.3.relu@input': n"
    with pytest.raises(TypeError, match=message):
        margins_at(model, place)


def test_no_batch_norm():
    model = nn.ModuleDict(
        dict(
            first=nn.Sequential(nn.ReLU(), nn.ReLU()),
            plain=nn.Sequential(nn.BatchNorm2d(2, affine=False), nn.ReLU()),
        )
    )
    for place in ('first.0@input', 'first.1@input', 'first', 'plain.1@input'):
        with pytest.raises(TypeError, match=f'has none at {place!r}'):
            margins_at(model, place)
