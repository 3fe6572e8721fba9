"""Trainings of the tokens of a small net, in one or two processes."""

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import distributed as dist

from tests.helpers.adopted import DDP, SmallNet, loader, model_of
from tests.helpers.commands import load_tool, unchanged
from tests.helpers.group import everywhere, flat

ITERATIONS = 3


def train(folder):
    """Two images per step, with a batch in each process; return the tokens."""
    tool = load_tool('train_mask_tokens')
    count = dist.get_world_size() if dist.is_initialized() else 1
    cfg = Config(
        dict(
            model=dict(type='SmallNet'),
            work_dir=str(folder / f'{count}'),
            train_dataloader=loader(2 // count, 2 * ITERATIONS, shuffle=False),
            optim_wrapper=dict(),
            randomness=dict(seed=1),
            experiment_name=f'{folder.name}-{count}',
            log_level='WARNING',
        )
    )
    tool.set_schedule(cfg, ITERATIONS, lr=0.5)
    if dist.is_initialized():
        cfg.launcher, cfg.model_wrapper_cfg = 'pytorch', DDP
    runner = Runner.from_cfg(cfg)
    hook = tool.TokensHook(4)
    runner.register_hook(hook)
    # Weights of which a step without the freeze would change every one.
    rank = dist.get_rank() if dist.is_initialized() else 0
    weights = folder / f'{count}-{rank}.pth'
    torch.save(SmallNet(seed=7).state_dict(), weights)
    tool.fill(model_of(runner), str(weights))
    runner.train()
    for found, wanted in zip(
        model_of(runner).state_dict().values(),
        SmallNet(seed=7).state_dict().values(),
        strict=True,
    ):
        assert torch.equal(found, wanted)
    return flat(hook.tokens.parameters())


def train_alone(folder):
    """In one process."""
    with unchanged():
        return train(folder)


def check_two_processes(folder):
    """Equal on both; the first one saves them."""
    torch.manual_seed(dist.get_rank())
    first, second = everywhere(train(folder))
    assert torch.equal(first, second)
    if dist.get_rank() == 0:
        torch.save(first, folder / 'tokens.pt')
