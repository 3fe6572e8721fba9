"""What two processes make of the sums of losses."""

import torch
from torch import distributed as dist

from mmkd_plugin.losses.common import reduction
from tests.helpers.group import everywhere

LOSSES = torch.tensor([1.0, 3.0, 8.0])


def check_two_processes():
    """Body of one process; the second has no positive and no weight."""
    mine = dist.get_rank() == 0
    assert reduction.mean_over_processes(torch.tensor(1.0 + mine)) == 1.5

    positives = torch.tensor([mine, False, mine])
    value = reduction.per_positive(LOSSES, None, positives)
    # 12 / mean(2, 0), in both.
    assert value == 12
    assert everywhere(value.item()) == [12.0, 12.0]

    # 0 / mean(0, 0), at least 1.
    none = torch.zeros(3, dtype=torch.bool)
    assert reduction.per_positive(LOSSES, None, none) == 12
    positives = torch.tensor([mine, mine, mine, mine, mine])
    value = reduction.per_positive(torch.ones(5), None, positives)
    assert value == 5 / 2.5

    weights = torch.tensor([0.5, 0.0, 1.0]) * mine
    value = reduction.per_weight(LOSSES, weights)
    assert value == (8.5 / 0.75 if mine else 0)

    losses = LOSSES.clone().requires_grad_()
    positives = torch.tensor([True, False, mine])
    reduction.per_positive(losses, None, positives).backward()
    assert losses.grad.eq(1 / 1.5).all()
