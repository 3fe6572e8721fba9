"""The projector of SimKD: size, layers, what it is given."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmkd_plugin.models import SimKDProjector


def test_number_of_parameters():
    """Of ResNet-32x4 and ResNet-8x4, as in the paper's setting."""
    projector = SimKDProjector(256, 256, ratio=2)
    assert sum(p.numel() for p in projector.parameters()) == 214_016


@pytest.mark.parametrize('ratio, middle', [(1, 10), (2, 5), (4, 2), (10, 1)])
def test_layers(ratio, middle):
    projector = SimKDProjector(6, 10, ratio=ratio)
    convs = [m for m in projector.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size) for c in convs] == [
        (6, middle, (1, 1)),
        (middle, middle, (3, 3)),
        (middle, 10, (1, 1)),
    ]
    assert all(conv.bias is None for conv in convs)
    kinds = [type(layer) for layer in projector.layers]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 3


def test_last_map_is_projected():
    projector = MODELS.build(
        dict(type='SimKDProjector', in_channels=3, out_channels=8)
    ).eval()
    last = torch.randn(2, 3, 5, 4)
    (found,) = projector((torch.randn(2, 7, 9, 9), last))
    assert found.shape == (2, 8, 5, 4)
    assert torch.equal(found, projector.layers(last))
    assert found.ge(0).all() and found.gt(0).any()


@pytest.mark.parametrize(
    'name, arguments',
    [
        ('in_channels', (0, 8)),
        ('out_channels', (8, 2.5)),
        ('ratio', (8, 8, 9)),
        ('ratio', (8, 8, 0)),
    ],
)
def test_arguments_out_of_range(name, arguments):
    with pytest.raises(ValueError, match=f'`{name}` to be an integer '):
        SimKDProjector(*arguments)


def test_maps_of_other_channels():
    message = '`in_channels` of SimKDProjector to be 5, .* but got 3'
    with pytest.raises(ValueError, match=message):
        SimKDProjector(3, 8)((torch.zeros(2, 5, 4, 4),))
