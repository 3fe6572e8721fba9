"""Losses with parameters, trained by the optimizer of a run.

They must be in the model when it is wrapped for several processes and when
its optimizer is built, and must not be in it afterwards, for they do not
belong to the student.  MMEngine does both before any hook runs.  But at
``before_run`` nothing has been trained or loaded yet, so both can be done
again, with the losses lent to the model meanwhile.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch.nn as nn
from mmengine.model import is_model_wrapper

from ..arguments import shown
from ..exceptions import MMKDTypeError, MMKDValueError

# Name of the losses in the model while they are lent to it, for
# `paramwise_cfg`, and in a checkpoint.
NAME = 'distill'
# Wrappers that keep their own copy of the parameters, or several reducers.
REFUSED_WRAPPERS = ('FullyShardedDataParallel', 'SeparateDistributed')


def adopt(runner, losses: Mapping[str, nn.Module]) -> None:
    """Give losses to the optimizer and the data parallelism of a run.

    Call it in ``before_run`` of a training.  Their gradients are then
    averaged over the processes, clipped and scaled together with those of
    the model.  The model's ``state_dict`` is as before.

    What a loss names in its ``without_decay``, parameters or submodules, has
    no weight decay, whatever the config says.

    Args:
        runner (Runner): Its model, optimizer wrapper and schedulers are
            built again.
        losses: Name to loss; each in its training mode.

    Raises:
        TypeError: If the runner, its model wrapper or optimizer is of a kind
            that cannot take them.
        ValueError: If no parameter group has some of their parameters.
    """
    parameters = [p for loss in losses.values() for p in loss.parameters()]
    parameters = [p for p in parameters if p.requires_grad]
    if not parameters or not _missing(runner, parameters):
        return
    _refuse(runner, losses)
    student, wrapper = runner.model, None
    if is_model_wrapper(student):
        wrapper, student = student, student.module
    device = next(student.parameters()).device
    with _lent(student, nn.ModuleDict(losses).to(device)):
        if wrapper is not None:
            # Without its hooks on the parameters before others are added.
            runner.model = student
            del wrapper
            cfg = copy.deepcopy(runner.cfg.get('model_wrapper_cfg'))
            runner.model = runner.wrap_model(cfg, student)
        _build_optimizer(runner, losses)
    missing = _missing(runner, parameters)
    if missing:
        raise MMKDValueError(
            f'{missing} of {len(parameters)} parameters of '
            f'{", ".join(losses)} are in no parameter group of the optimizer, '
            'so they would not be trained: use a constructor in '
            '`optim_wrapper` that takes every parameter of the model.'
        )


def state_problem(
    losses: Mapping[str, nn.Module], checkpoint: dict
) -> str | None:
    """Why the losses cannot go on from a checkpoint; None if they can.

    Args:
        losses: Those with parameters by name.
        checkpoint: Its content.
    """
    saved = checkpoint.get(NAME, {})
    for name, loss in losses.items():
        found, wanted = saved.get(name), loss.state_dict()
        if not isinstance(found, dict):
            return f'holds no parameters of {name}'
        shapes = [
            {key: tuple(getattr(value, 'shape', ())) for key, value in x}
            for x in (wanted.items(), found.items())
        ]
        if shapes[0] != shapes[1]:
            other = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))
            return (
                f'does not fit the parameters of {name}, such as '
                f'{other[0][0]} {other[0][1]}'
            )
    return None


@contextmanager
def _lent(student: nn.Module, losses: nn.Module) -> Iterator[None]:
    student.add_module(NAME, losses)
    try:
        yield
    finally:
        del student._modules[NAME]


def _build_optimizer(runner, losses: Mapping[str, nn.Module]) -> None:
    """Optimizer wrapper and schedulers, in the order of ``Runner.train``."""
    schedulers = runner.param_schedulers is not None
    runner.param_schedulers = None
    cfg = copy.deepcopy(runner.cfg.optim_wrapper)
    runner.optim_wrapper = runner.build_optim_wrapper(cfg)
    for wrapper in _wrappers(runner):
        _spare_from_decay(wrapper.optimizer, losses.values())
    runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
    if schedulers:
        cfg = copy.deepcopy(runner.cfg.param_scheduler)
        runner.param_schedulers = runner.build_param_scheduler(cfg)


def _spare_from_decay(optimizer, losses: Iterable[nn.Module]) -> None:
    """Set no weight decay for what losses name in ``without_decay``."""
    spared = {
        id(parameter)
        for loss in losses
        for name, parameter in loss.named_parameters()
        if name.split('.')[0] in getattr(loss, 'without_decay', ())
    }
    for group in [*optimizer.param_groups]:
        chosen = [p for p in group['params'] if id(p) in spared]
        others = [p for p in group['params'] if id(p) not in spared]
        if chosen and others:
            # At the end: the learning rate in the log is that of the first.
            group['params'] = others
            group = {**group, 'params': chosen}
            optimizer.add_param_group(group)
        if chosen:
            group['weight_decay'] = 0.0


def _wrappers(runner) -> list:
    """The optimizer wrappers of a run, mostly one."""
    wrapper = runner.optim_wrapper
    return [*wrapper.values()] if hasattr(wrapper, 'values') else [wrapper]


def _missing(runner, parameters: list[nn.Parameter]) -> int:
    """How many parameters the optimizer does not have."""
    known = {
        id(p)
        for each in _wrappers(runner)
        for group in each.optimizer.param_groups
        for p in group['params']
    }
    return sum(id(p) not in known for p in parameters)


def _refuse(runner, losses: Mapping[str, nn.Module]) -> None:
    """Refuse what cannot be built again, or what cannot take parameters."""
    names = ', '.join(losses)
    if hasattr(runner, 'strategy'):
        raise MMKDTypeError(
            f'{names} has parameters to train, which FlexibleRunner cannot '
            'take: use the `Runner`.'
        )
    kinds = [kind.__name__ for kind in type(runner.model).__mro__]
    for refused in REFUSED_WRAPPERS:
        if any(refused in kind for kind in kinds):
            raise MMKDTypeError(
                f'{names} has parameters to train, which {kinds[0]} cannot '
                'take: use MMDistributedDataParallel in `model_wrapper_cfg`.'
            )
    for key, needed in (
        ('optim_wrapper', True),
        ('param_scheduler', runner.param_schedulers is not None),
    ):
        found = runner.cfg.get(key)
        parts = found if isinstance(found, list) else [found]
        if needed and not all(isinstance(part, dict) for part in parts):
            raise MMKDTypeError(
                f'{names} has parameters to train, for which the optimizer '
                f'is built again from `{key}` of the config, but got '
                f'{shown(found)}: give it as a config.'
            )
    if not isinstance(runner.cfg.optim_wrapper.get('optimizer', {}), dict):
        raise MMKDTypeError(
            f'{names} has parameters to train, for which the optimizer is '
            'built again, but `optim_wrapper.optimizer` is an object: give '
            'it as a config.'
        )
    student = runner.model
    if is_model_wrapper(student):
        student = student.module
    if hasattr(student, NAME):
        raise MMKDTypeError(
            f'{names} has parameters to train, which are lent to the model '
            f'as `{NAME}`, but {type(student).__name__} already has an '
            'attribute of that name: rename it.'
        )
