"""Refuse to resume from anything but a complete state of this training."""

from pathlib import Path

from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop

from ..exceptions import MMKDValueError
from .last_checkpoint import is_of_run, newest_whole

# Settings by which optimizers differ; newer torch may add others.
KINDS = {'momentum', 'betas', 'alpha', 'rho', 'lr_decay', 'etas', 'lambd'}
# Optimizer state with the shape of its parameter.
SAME_SHAPE = ('momentum_buffer', 'exp_avg', 'exp_avg_sq', 'max_exp_avg_sq')


def check_resumable(runner, checkpoint: object, file: str) -> None:
    """Refuse a checkpoint before it changes anything in the run.

    Args:
        runner (Runner): The run to resume.
        checkpoint: Content of the file.
        file: Its name, for the message.

    Raises:
        ValueError: If something is missing or does not fit.
    """
    problem = state_problem(runner, checkpoint)
    if problem is None:
        problem = _position_problem(runner, checkpoint)
        advice = 'raise the length of the training in `train_cfg`.'
    else:
        advice = _advice(runner, file)
    if problem is not None:
        raise MMKDValueError(
            f'{file} cannot be resumed: it {problem}; {advice}'
        )


def state_problem(runner, checkpoint) -> str | None:
    """What is missing or wrong in a checkpoint, None if nothing is."""
    if not isinstance(checkpoint, dict):
        return 'is no checkpoint of a training run'
    needed = dict(state_dict=dict, meta=dict, message_hub=dict, optimizer=dict)
    if runner.param_schedulers is not None:
        needed['param_schedulers'] = (dict, list)  # type: ignore[assignment]
    for key, kind in needed.items():
        if key not in checkpoint:
            return f'holds no {key!r}'
        if not isinstance(checkpoint[key], kind):
            return f'holds a {type(checkpoint[key]).__name__} as {key!r}'
    for key in ('log_scalars', 'runtime_info', 'resumed_keys'):
        if not isinstance(checkpoint['message_hub'].get(key), dict):
            return f'holds no {key!r} in its message_hub'
    for key in ('epoch', 'iter'):
        value = checkpoint['meta'].get(key)
        if type(value) is not int or value < 0:
            return f'holds {value!r} as number of {key}s'
    seed = checkpoint['meta'].get('seed')
    if seed is not None and type(seed) is not int:
        return f'holds {seed!r} as seed'
    return (
        _exact_resume_problem(checkpoint.get('exact_resume'))
        or _weights_problem(runner, checkpoint)
        or _optimizer_problem(runner.optim_wrapper, checkpoint['optimizer'])
        or _schedulers_problem(
            runner.param_schedulers, checkpoint.get('param_schedulers')
        )
        or _hooks_problem(runner, checkpoint)
    )


def run_problem(runner, checkpoint: dict) -> str | None:
    """As :func:`state_problem`, for a checkpoint that is not named."""
    meta = checkpoint['meta']
    if isinstance(meta, dict) and not is_of_run(runner, meta):
        return f'is of another run, {meta["experiment_name"]}'
    return state_problem(runner, checkpoint)


def _hooks_problem(runner, checkpoint: dict) -> str | None:
    """What a hook misses that has its own state in a checkpoint."""
    for hook in runner.hooks:
        if hasattr(hook, 'state_problem'):
            problem = hook.state_problem(checkpoint)
            if problem:
                return problem
    return None


def _exact_resume_problem(place: object) -> str | None:
    """What is wrong with the numbers that ExactResumeHook saves."""
    if place is None:
        return None  # saved without it
    names = {'batches_seen', 'batches', 'world_size', 'sampler_seed'}
    if not isinstance(place, dict) or set(place) != {*names, 'validated'}:
        return "holds an 'exact_resume' that is not of ExactResumeHook"
    for name in names:
        value = place[name]
        if type(value) is int and value >= 0:
            continue
        if value is not None or name != 'sampler_seed':
            return f'holds {value!r} as {name!r}'
    return None


def _weights_problem(runner, checkpoint: dict) -> str | None:
    model = runner.model
    if is_model_wrapper(model):
        model = model.module
    found = {
        str(name).removeprefix('module.'): value
        for name, value in checkpoint['state_dict'].items()
    }
    problem = _names_problem(model.state_dict(), found, 'the model')
    average = checkpoint.get('ema_state_dict')
    for hook in runner.hooks:
        if isinstance(hook, EMAHook) and average is not None:
            problem = problem or _names_problem(
                hook.ema_model.state_dict(),
                average if isinstance(average, dict) else {},
                'the moving average of the model',
            )
    return problem


def _names_problem(wanted: dict, found: dict, what: str) -> str | None:
    late = 'num_batches_tracked'  # not in files of old torch
    missing = [
        name
        for name in wanted
        if name not in found and not name.endswith(late)
    ]
    unexpected = [name for name in found if name not in wanted]
    other = [
        f'{name} {tuple(getattr(found[name], "shape", ()))}'
        for name, value in wanted.items()
        if name in found
        and getattr(found[name], 'shape', None)
        != getattr(value, 'shape', None)
    ]
    parts = [
        f'{len(names)} {what} ({", ".join(names[:3])}'
        f'{", ..." if len(names) > 3 else ""})'
        for what, names in (
            ('weights are missing', missing),
            ('are unknown', unexpected),
            ('are of another shape', other),
        )
        if names
    ]
    if not parts:
        return None
    return f'does not fit {what}: {", ".join(parts)} of {len(wanted)}'


def _optimizer_problem(wrapper, found: dict) -> str | None:
    """What does not fit in the state of an optimizer."""
    if isinstance(wrapper, OptimWrapperDict):
        problems = (
            f'holds no optimizer {name!r}'
            if not isinstance(found.get(name), dict)
            else _optimizer_problem(one, found[name])
            for name, one in wrapper.items()
        )
        return next(filter(None, problems), None)
    groups, state = found.get('param_groups'), found.get('state')
    own = wrapper.optimizer.param_groups
    if not isinstance(groups, list) or not isinstance(state, dict):
        return 'holds no state of an optimizer'
    if not all(
        isinstance(group, dict) and isinstance(group.get('params'), list)
        for group in groups
    ) or not all(isinstance(value, dict) for value in state.values()):
        return 'holds no state of an optimizer'
    sizes = [len(group['params']) for group in groups]
    wanted = [len(group['params']) for group in own]
    if sizes != wanted:
        return (
            f'holds an optimizer of {len(sizes)} groups with {sum(sizes)} '
            f'parameters, and the config makes one of {len(wanted)} with '
            f'{sum(wanted)}'
        )
    kinds = [KINDS & set(group) for group in (*groups, *own)]
    if any(kind != kinds[-1] for kind in kinds):
        return (
            'holds the state of another optimizer than '
            f'{type(wrapper.optimizer).__name__}'
        )
    parameters = [value for group in own for value in group['params']]
    numbers = [number for group in groups for number in group['params']]
    for number, parameter in zip(numbers, parameters):
        for key in SAME_SHAPE:
            shape = getattr(state.get(number, {}).get(key), 'shape', None)
            if shape is not None and shape != parameter.shape:
                return (
                    f'holds {key} of the shape {tuple(shape)} for a parameter '
                    f'of {tuple(parameter.shape)}'
                )
    return None


def _schedulers_problem(own, found) -> str | None:
    """What does not fit in the states of the schedulers."""
    if own is None:
        return None
    if isinstance(own, dict):
        if not isinstance(found, dict) or set(found) != set(own):
            return 'holds schedulers of other optimizers than the config'
        problems = (_schedulers_problem(own[k], found[k]) for k in own)
        return next(filter(None, problems), None)
    if not isinstance(found, list) or len(found) != len(own):
        return (
            f'holds the state of {len(found)} schedulers, and '
            f'`param_scheduler` of the config makes {len(own)}'
        )
    for scheduler, state in zip(own, found):
        kind = type(scheduler).__name__
        if not isinstance(state, dict) or not (
            {*scheduler.state_dict()} <= {*state}
        ):
            return f'holds no state that fits the scheduler {kind}'
    return None


def _position_problem(runner, checkpoint) -> str | None:
    """Whether the training ends before the position of a checkpoint."""
    meta = checkpoint['meta']
    unit, end = 'iter', runner.max_iters
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        unit, end = 'epoch', runner.max_epochs
    if meta[unit] <= end:
        return None
    return (
        f'was saved after {unit} {meta[unit]}, and `train_cfg` ends the '
        f'training after {end}'
    )


def _advice(runner, file: str) -> str:
    """Advice on which file to use instead."""
    folder = Path(file).parent if '://' not in file else runner.work_dir
    whole = newest_whole(
        folder, lambda content: state_problem(runner, content), file
    )
    start = (
        'start anew from its weights with --cfg-options load_from='
        f'{file} instead of --resume'
    )
    if whole is None:
        return f'{start}.'
    return f'give --resume {whole}, the newest whole one there, or {start}.'
