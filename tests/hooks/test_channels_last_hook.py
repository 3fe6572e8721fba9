"""ChannelsLastHook on its own; with a teacher in test_distill_classifier."""

from types import SimpleNamespace

import torch
from mmengine.registry import HOOKS
from torch import nn

import mmkd_plugin  # noqa: F401, registers the hook


def test_converts_the_model():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = model[0].weight.detach().clone()
    HOOKS.build(dict(type='ChannelsLastHook')).before_run(
        SimpleNamespace(model=model)
    )
    weight = model[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert torch.equal(weight, before)
    out = model(torch.ones(2, 3, 8, 8))
    assert out.is_contiguous(memory_format=torch.channels_last)
