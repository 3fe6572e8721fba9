"""Training in bfloat16."""

import pytest
import torch
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

import mmkd_plugin  # noqa: F401, registers the wrapper


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def build(model, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return OPTIM_WRAPPERS.build(
        dict(type='BFloat16OptimWrapper', optimizer=optimizer, **kwargs)
    )


def test_forward_alone_is_in_bfloat16(model):
    wrapper = build(model)
    before = model.weight.detach().clone()
    with wrapper.optim_context(model):
        out = model(torch.ones(2, 4))
        assert torch.is_autocast_enabled('cpu')
    assert not torch.is_autocast_enabled('cpu')
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32
    torch.testing.assert_close(
        model.weight.detach(), before - 0.2, rtol=0, atol=1e-6
    )


def test_accumulates_as_the_wrapper_of_the_engine(model):
    wrapper = build(model, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    before = model.weight.detach().clone()
    changed = []
    for _ in range(4):
        with wrapper.optim_context(model):
            loss = model(torch.ones(2, 4)).float().sum()
        wrapper.update_params(loss)
        changed.append(not torch.equal(model.weight, before))
        before = model.weight.detach().clone()
    assert changed == [False, True, False, True]
