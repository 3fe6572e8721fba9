"""A config's own schedule, in another number of epochs.

E epochs of the config, N epochs instead.
"""

import copy
import re
from math import inf

from sweep_plan import PlanError

# By the names of MMEngine's classes without LR, Momentum or ParamScheduler.
# Ones that go from `begin` to `end`.
RAMPS = ('Constant', 'Linear', 'Poly', 'QuadraticWarmup')
# Ones that may count iterations: they are as long in a shorter training.
WARMUPS = ('Constant', 'Linear', 'QuadraticWarmup')


def squeeze(cfg, epochs):
    """Fit a schedule into another number of epochs.

    Everything that is counted in epochs is moved in proportion.  What lies
    inside the training stays inside and in its order, and so may be up to an
    epoch from its exact place.  Warm-ups that are counted in iterations are
    kept.

    Args:
        cfg (Config): A config.
        epochs (int): N.

    Returns:
        dict: ``train_cfg``, ``param_scheduler`` and ``custom_hooks``, as far
        as the config has them; empty if it has N epochs.

    Raises:
        PlanError: If something cannot be moved.
    """
    train = cfg.train_cfg
    if not train.get('max_epochs'):
        raise PlanError(
            f'--epochs needs a training that counts epochs, but `train_cfg` '
            f'of {cfg.filename} has no `max_epochs`: leave --epochs out, and '
            'shorten the schedule in a config of your own.'
        )
    if train.max_epochs == epochs:
        return {}
    scale = Scale(train.max_epochs, epochs)
    found = dict(train_cfg=_loop(train.to_dict(), scale))
    schedulers = cfg.get('param_scheduler')
    if schedulers:
        if isinstance(schedulers, dict) and 'type' in schedulers:
            schedulers = [schedulers]
        if isinstance(schedulers, dict):
            raise PlanError(
                '--epochs cannot move the schedules of several optimizers: '
                'leave it out.'
            )
        found['param_scheduler'] = [
            _scheduler(
                copy.deepcopy(dict(part)), scale, f'param_scheduler.{i}'
            )
            for i, part in enumerate(schedulers)
        ]
    if cfg.get('custom_hooks'):
        found['custom_hooks'] = [
            _hook(copy.deepcopy(dict(hook)), scale, f'custom_hooks.{i}')
            for i, hook in enumerate(cfg.custom_hooks)
        ]
    return found


class Scale:
    """Moves points and lengths of E epochs into N epochs."""

    def __init__(self, then, now):
        self.then, self.now = then, now

    def length(self, value):
        """A number of epochs, at least 1."""
        return max(round(value * self.now / self.then), 1)

    def points(self, values, name):
        """Points in time, in ascending order.

        Args:
            values (list[int]): Epochs; those from E on are never reached.
            name (str): Where they are, for the message.

        Returns:
            list[int]: Those inside the training, from 1 to N - 1.

        Raises:
            PlanError: If there is no room for them.
        """
        inside = sorted({value for value in values if 0 < value < self.then})
        moved = self._fit(inside, self.now)
        if moved is None:
            least = next(
                now
                for now in range(self.now, self.then + 1)
                if self._fit(inside, now)
            )
            raise PlanError(
                f'--epochs {self.now} has no room for {name} = '
                f'{", ".join(map(str, inside))} of {self.then} epochs: take '
                f'{least} or more.'
            )
        found, later = dict(zip(inside, moved)), self.now + 1
        return [0 if v <= 0 else found.get(v, later) for v in values]

    def _fit(self, inside, now):
        """Points of N epochs, at most 1 from their places; None if none."""
        moved, bound = [], now
        for value in reversed(inside):
            exact = value * now / self.then
            bound = min(max(round(exact), 1), bound - 1)
            if bound < 1 or exact - bound > 1:
                return None
            moved.append(bound)
        return moved[::-1]

    def point(self, value, name):
        """A point in time; 0 and E are moved to 0 and N."""
        if value in (None, inf) or value <= 0:
            return value
        if value >= self.then:
            return max(self.length(value), self.now)
        return self.points([value], name)[0]


def _loop(train, scale):
    """``max_epochs`` and when validations are."""
    train['max_epochs'] = scale.now
    if 'val_interval' in train:
        interval = train['val_interval']
        train['val_interval'] = min(scale.length(interval), scale.now)
    if 'val_begin' in train:
        train['val_begin'] = min(scale.length(train['val_begin']), scale.now)
    if train.get('dynamic_intervals'):
        train['dynamic_intervals'] = [
            (
                scale.point(begin, 'train_cfg.dynamic_intervals'),
                scale.length(interval),
            )
            for begin, interval in train['dynamic_intervals']
        ]
    return train


def _scheduler(part, scale, name):
    """A scheduler of learning rate or momentum."""
    kind = re.sub(
        '(LR|Momentum|ParamScheduler)$', '', part['type'].split('.')[-1]
    )
    if not part.get('by_epoch', True):
        if kind in WARMUPS and part.get('end', inf) != inf:
            return part
        raise PlanError(
            f'--epochs cannot move {name}, a {part["type"]} that counts '
            'iterations: let it count epochs (by_epoch=True, '
            'convert_to_iter_based=True), or leave --epochs out.'
        )
    then = (part.get('begin', 0), min(part.get('end', inf), scale.then))
    for key in ('begin', 'end'):
        if key in part:
            part[key] = scale.point(part[key], f'{name}.{key}')
    now = (part.get('begin', 0), min(part.get('end', inf), scale.now))
    if now[0] >= now[1]:
        raise PlanError(
            f'--epochs {scale.now} has no room for {name}, a {part["type"]} '
            f'from epoch {then[0]} to {then[1]} of {scale.then}: take more '
            'epochs.'
        )
    if kind == 'MultiStep':
        part['milestones'] = scale.points(
            part['milestones'], f'{name}.milestones'
        )
    elif kind == 'CosineAnnealing':
        length = part.get('T_max')
        if length is not None:
            whole = length == then[1] - then[0]
            part['T_max'] = now[1] - now[0] if whole else scale.length(length)
    elif kind == 'Exponential':
        part['gamma'] = part['gamma'] ** (scale.then / scale.now)
    elif kind == 'Step':
        old, new = part['step_size'], scale.length(part['step_size'])
        if (scale.then - 1) // old != (scale.now - 1) // new:
            raise PlanError(
                f'--epochs {scale.now} has no room for {name}, a '
                f'{part["type"]} of every {old} of {scale.then} epochs: take '
                'more epochs.'
            )
        part['step_size'] = new
    elif kind not in RAMPS:
        raise PlanError(
            f'--epochs does not know how to move {name}, a {part["type"]}: '
            'leave it out, and shorten the schedule in a config of your own.'
        )
    return part


def _hook(part, scale, name):
    """A hook, with what it counts in epochs."""
    if not part.get('by_epoch', True):
        return part
    if 'teacher' in part:
        if part.get('warmup'):
            part['warmup'] = scale.length(part['warmup'])
        for key in ('begin', 'end'):
            if part.get(key):
                part[key] = scale.point(part[key], f'{name}.{key}')
        return part
    return _walk(part, scale, name)


def _walk(value, scale, name):
    """Move the settings of any other hook that are named after epochs."""
    if isinstance(value, (list, tuple)):
        items = enumerate(value)
        return type(value)(_walk(v, scale, f'{name}.{i}') for i, v in items)
    if not isinstance(value, dict):
        return value
    for key, entry in value.items():
        if isinstance(entry, (dict, list, tuple)):
            value[key] = _walk(entry, scale, f'{name}.{key}')
        elif type(entry) is not int or 'epoch' not in key or entry <= 0:
            continue
        elif key.endswith('_epoch'):
            value[key] = scale.point(entry, f'{name}.{key}')
        elif key == 'num_last_epochs' and entry < scale.then:
            begin = scale.point(scale.then - entry, f'{name}.{key}')
            value[key] = scale.now - begin
        else:
            raise PlanError(
                f'--epochs does not know how to move {name}.{key} = {entry}: '
                'leave --epochs out, or take this hook out of the config.'
            )
    return value
