"""The weight of a loss that sets itself: ``loss_weight='auto'``."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size

from ..arguments import check_number, shown
from ..exceptions import MMKDRuntimeError, MMKDValueError

AUTO = 'auto'
# In a checkpoint.
NAME = 'distill_weights'
# Steps in which the weight follows the measured pull. The pull of a new
# student falls by a factor of ten within the first dozens.
STEPS = 100
# No pull below or above is aimed at: a term would be off, or all there is.
PULL = (0.001, 1000)


class AutoWeight:
    """Chooses the weight with which a term pulls as hard as wanted.

    The pull of a term is the norm of its gradient, relative to that of the
    task's losses with respect to the same tensors
    (:mod:`~mmkd_plugin.distill.pulls`).  It is proportional to the weight, so
    after n steps the weight is ``pull`` divided by the geometric mean of the
    pulls of weight 1 in the later half of them; after ``STEPS`` it stays.

    Args:
        name: Of the term, for messages.
        pull: What the pull shall be, in 0.001 .. 1000.

    Raises:
        ValueError: If ``pull`` is no such number.
    """

    def __init__(self, name: str, pull: float = 1.0) -> None:
        check_number(f'losses.{name}.pull', pull, *PULL)
        self.name = name
        self.pull = float(pull)
        self.steps = 0
        self.logs: list[float] = []

    @property
    def is_set(self) -> bool:
        """Whether the weight has been found."""
        return self.steps >= STEPS

    @property
    def value(self) -> float:
        """The weight; 1 before anything was measured."""
        later = self.logs[len(self.logs) // 2 :]
        if not later:
            return 1.0
        return self.pull / math.exp(math.fsum(later) / len(later))

    def __str__(self) -> str:
        if self.is_set:
            return f'a weight of {self.value:.4g}'
        return (
            f'a weight that the first {STEPS} steps choose for a pull of '
            f'{self.pull:g}'
        )

    def state(self) -> dict:
        """What a checkpoint keeps, plain numbers."""
        return dict(steps=self.steps, logs=[*self.logs])

    def load(self, state: Mapping) -> None:
        """Take back a :meth:`state`."""
        self.steps, self.logs = int(state['steps']), [*state['logs']]


def is_auto(cfg: object) -> bool:
    """Whether the config of a loss leaves its weight to be found."""
    return isinstance(cfg, Mapping) and cfg.get('loss_weight') == AUTO


def without_auto(name: str, cfg: Any) -> Any:
    """The config with a weight of 1 in place of 'auto', and no ``pull``.

    Raises:
        ValueError: If it has a ``pull`` but another weight.
    """
    if not isinstance(cfg, Mapping):
        return cfg
    if 'pull' in cfg and not is_auto(cfg):
        raise MMKDValueError(
            f'Expected `losses.{name}` to have `pull` beside '
            f"`loss_weight='auto'` only but got `loss_weight`="
            f'{shown(cfg.get("loss_weight"))}: leave out one of them.'
        )
    if not is_auto(cfg):
        return cfg
    return {
        key: 1.0 if key == 'loss_weight' else value
        for key, value in cfg.items()
        if key != 'pull'
    }


def state_problem(
    weights: Mapping[str, AutoWeight], checkpoint: Mapping
) -> str | None:
    """Why weights cannot go on from a checkpoint; None if they can."""
    saved = checkpoint.get(NAME)
    saved = saved if isinstance(saved, Mapping) else {}
    for name in weights:
        state = saved.get(name)
        if not isinstance(state, Mapping) or not _is_state(state):
            return f'holds no weight of {name}, which has set itself'
    return None


def _is_state(state: Mapping) -> bool:
    """Whether a value is what :meth:`AutoWeight.state` gives."""
    logs = state.get('logs')
    return (
        type(state.get('steps')) is int
        and isinstance(logs, list)
        and all(type(x) is float and math.isfinite(x) for x in logs)
    )


def update(weights: list[AutoWeight], pulls: Mapping, device) -> list[str]:
    """Take the pulls of a step, the same on all ranks.

    Args:
        weights: Those that are not set yet, of one student.
        pulls: Name to the pull of weight 1 on this rank, or None; without
            the terms that had nothing to read.
        device: Where the ranks exchange numbers.

    Returns:
        A sentence about each weight that is set now.

    Raises:
        RuntimeError: If no pull could be measured in all the steps.
    """
    rows = []
    for weight in weights:
        pull = pulls.get(weight.name) or math.inf
        usable = 0 < pull < math.inf
        rows.append([math.log(pull), 1.0] if usable else [0.0, 0.0])
    sums = torch.tensor(rows, dtype=torch.float64)
    if get_world_size() > 1:
        # NCCL takes no tensors of the CPU, some devices no float64.
        sums = sums.to(device, torch.float32)
        all_reduce(sums)
    said = []
    for weight, (total, count) in zip(weights, sums.tolist()):
        weight.steps += 1
        if count:
            weight.logs.append(total / count)
        if not weight.is_set:
            continue
        if not weight.logs:
            raise MMKDRuntimeError(
                f'The pull of {weight.name} could not be measured in its '
                f'first {STEPS} iterations, because the losses of the task '
                'gave no gradient to what it reads: give it a number as '
                '`loss_weight`.'
            )
        said.append(
            f'{weight.name}: weight {weight.value:.4g} from now on, with '
            f'which it pulled {weight.pull:g} times as hard as the task'
        )
    return said
