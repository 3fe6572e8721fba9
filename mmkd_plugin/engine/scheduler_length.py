"""Whether schedulers are made for the length of the training."""

from collections.abc import Iterable

from mmengine.optim import _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

# Ones that only raise a rate at the beginning, by the ends of their names.
WARMUPS = ('LinearLR', 'ConstantLR', 'QuadraticWarmupLR')


def misfits(schedulers, loop) -> list[str]:
    """Say which schedulers are made for another number of epochs.

    As after ``--cfg-options train_cfg.max_epochs=15``, where the scheduler
    has ``T_max=10``.  A tenth more or less in the length of a cosine is not
    told: YOLOX does it on purpose.

    Args:
        schedulers: ``param_schedulers`` of a runner, built: None, a list, or
            a dict of lists.
        loop: The train loop of the runner; one of an unknown kind is not
            judged.

    Returns:
        A sentence for each, without a full stop.
    """
    if not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
        return []
    groups = schedulers if isinstance(schedulers, dict) else {'': schedulers}
    told: list[str] = []
    for group in groups.values():
        known = [
            one
            for one in group or ()
            # A loop of iterations counts no epochs.
            if isinstance(loop, EpochBasedTrainLoop) or not one.by_epoch
        ]
        found = [text for one in known if (text := _misfit(one, loop))]
        if not found and len(known) == len(group or ()):
            found = _ends_early(known, loop)
        told += found
    return told


def _length(one: _ParamScheduler, loop) -> tuple[int, str]:
    """Of the training, in the unit of a scheduler."""
    if one.by_epoch:
        return loop.max_epochs, 'epochs'
    return loop.max_iters, 'iterations'


def _misfit(one: _ParamScheduler, loop) -> str:
    """What is wrong with one scheduler, or nothing."""
    name = type(one).__name__
    length, unit = _length(one, loop)
    span = min(one.end, length) - one.begin
    half = getattr(one, 'T_max', None)
    late = [step for step in getattr(one, 'milestones', ()) if step >= length]
    if half is not None and half < 0.9 * span:
        return (
            f'{name} comes down in {half} {unit} and goes up again after '
            f'them, in a training of {length}'
        )
    if half is not None and half > 1.1 * span:
        return (
            f'{name} comes down in {half} {unit}, of which the training has '
            f'{max(span, 0)}'
        )
    if late:
        return (
            f'{name} never comes to {", ".join(map(str, sorted(late)))} of '
            f'its milestones, in a training of {length} {unit}'
        )
    ramp = half is None and not hasattr(one, 'milestones')
    if ramp and length < one.end < 1e9:  # MMEngine's "no end"
        return (
            f'{name} goes on until {one.end} {unit}, and the training ends '
            f'after {length}'
        )
    return ''


def _ends_early(known: Iterable[_ParamScheduler], loop) -> list[str]:
    """What is wrong if all schedulers of a value end before the training."""
    told = []
    for value in sorted({one.param_name for one in known}):
        own = [one for one in known if one.param_name == value]
        if all(type(one).__name__.endswith(WARMUPS) for one in own):
            continue  # the rate stays as it is, and is meant to
        last = max(own, key=lambda one: one.end / _length(one, loop)[0])
        length, unit = _length(last, loop)
        if last.end < length:
            told.append(
                f'{type(last).__name__} ends after {last.end} {unit}, and no '
                f'other changes {value} until the end of the training after '
                f'{length}'
            )
    return told
