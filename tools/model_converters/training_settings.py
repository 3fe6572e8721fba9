"""All settings that made a student, defaults included, for its metafile.

A setting is that of the config or, where the config leaves an argument out,
the default of its class and the bases of that. What only the training knew
(versions, number of processes, hashes, a weight that has set itself) is what
the checkpoint says; what it does not say is `not recorded`.
"""

import inspect
import os
from collections.abc import Mapping

import numpy as np
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import (
    HOOKS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
)

import mmkd_plugin
from mmkd_plugin.checkpoints import made_with
from mmkd_plugin.distill import auto_weight
from mmkd_plugin.distill.terms import default_tap
from mmkd_plugin.hooks import BFloat16OptimWrapper, DistillHook
from mmkd_plugin.teachers.teacher import Teacher

UNKNOWN = 'not recorded'
# Shown as the config has them.
SHOWN = ('train_cfg', 'auto_scale_lr', 'randomness', 'load_from')


def describe(cfg, checkpoint, model):
    """Describe how a student was trained.

    Args:
        cfg (dict): The config of the training.
        checkpoint (dict): What the training has saved.
        model (nn.Module): The student.

    Returns:
        dict: ``Distillation``, its hooks by number, or 'none';
        ``Training``; and ``Versions``. All values are plain YAML.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    distilling, others = [], []
    for hook in cfg.get('custom_hooks') or []:
        kind = class_of(HOOKS, hook, scope)
        if isinstance(kind, type) and issubclass(kind, DistillHook):
            distilling.append(_distillation(hook, checkpoint, model))
        else:
            others.append(_filled(HOOKS, hook, scope))
    # Not a list: mim would read a list of dicts as inference times.
    found = dict(
        Distillation=dict(enumerate(distilling, 1)) or 'none',
        Training=_training(cfg, checkpoint, scope, others),
        Versions=_versions(checkpoint),
    )
    return readable(found)


def with_defaults(kind, given):
    """The arguments of a class: those given, and defaults of the others.

    Args:
        kind (type): The class. A base is asked too if an ``__init__`` hands
            on what it does not name.
        given (dict): Arguments, with ``type`` or without.

    Returns:
        dict: Argument to value, those given first, with the name of the class
        as ``type``.
    """
    found = {**given, 'type': kind.__name__}
    for base in kind.__mro__[:-1]:
        if '__init__' not in vars(base):
            continue
        arguments = inspect.signature(base.__init__).parameters.values()
        for one in arguments:
            if one.default is not one.empty:
                found.setdefault(one.name, one.default)
        if all(one.kind is not one.VAR_KEYWORD for one in arguments):
            break
    return found


def class_of(registry, cfg, scope):
    """The class that a config names, None if it is not known here."""
    kind = cfg.get('type')
    if not isinstance(kind, str):
        return kind
    try:
        with registry.switch_scope_and_registry(scope) as current:
            return current.get(kind)
    except Exception:  # a dotted name that MMEngine fails to import
        return None


def _filled(registry, cfg, scope):
    """A config with the defaults of its class, as it is if that is not known.

    The optimizer inside a wrapper is filled too.
    """
    if not isinstance(cfg, Mapping):
        return cfg
    kind = class_of(registry, cfg, scope)
    if isinstance(kind, type):
        cfg = with_defaults(kind, cfg)
    if 'optimizer' in cfg:
        own = _filled(OPTIMIZERS, cfg['optimizer'], scope)
        cfg = {**cfg, 'optimizer': own}
    return cfg


def _distillation(cfg, checkpoint, model):
    """The settings of one hook that distils."""
    cfg = {key: cfg[key] for key in cfg if key != 'priority'}
    hook = HOOKS.build(cfg)
    files = _made(checkpoint).get('files', {})
    teachers = []
    for given in hook.teacher_cfgs:
        teacher = with_defaults(Teacher, given)
        del teacher['type']
        teacher['sha256'] = files.get(str(given['checkpoint']), UNKNOWN)
        teachers.append(teacher)
    own = {key: cfg[key] for key in cfg if key not in ('teacher', 'losses')}
    return dict(
        with_defaults(type(hook), own),
        teacher=teachers[0] if len(teachers) == 1 else teachers,
        losses={
            name: _term(hook, name, checkpoint, model)
            for name in hook.distiller.terms
        },
    )


def _term(hook, name, checkpoint, model):
    """The settings of a loss, and of the tap that feeds it."""
    loss, tap = hook.distiller.terms[name]
    given = hook.loss_cfgs[name]
    found = with_defaults(type(loss), given)
    given = given.get('tap', getattr(loss, 'default_tap', hook.tap_cfg))
    tap = default_tap(model) if tap is None else tap
    found['tap'] = with_defaults(type(tap), given or {})
    weight = hook.distiller.auto_weights.get(name)
    if weight is not None:
        found['pull'] = weight.pull
        found['weight_found'] = UNKNOWN
        if auto_weight.state_problem({name: weight}, checkpoint) is None:
            weight.load(checkpoint[auto_weight.NAME][name])
            found['weight_found'] = weight.value
            if not weight.is_set:
                steps = f'{weight.steps} of {auto_weight.STEPS} steps'
                found['weight_found'] = f'{weight.value:.4g} after {steps}'
    return found


def _training(cfg, checkpoint, scope, hooks):
    """Optimizer, schedule, size of the batches, precision and seed."""
    # As MMEngine has it if no type is given.
    wrapper = {'type': 'OptimWrapper', **cfg.get('optim_wrapper', {})}
    schedule = cfg.get('param_scheduler') or []
    schedule = schedule if isinstance(schedule, (list, tuple)) else [schedule]
    loader = cfg.get('train_dataloader') or {}
    seed = checkpoint['meta'].get('seed')
    return dict(
        optim_wrapper=_filled(OPTIM_WRAPPERS, wrapper, scope),
        precision=_precision(wrapper, scope),
        param_scheduler=[
            _filled(PARAM_SCHEDULERS, one, scope) for one in schedule
        ],
        **{key: cfg[key] for key in SHOWN if cfg.get(key) is not None},
        batch_size_per_process=loader.get('batch_size', UNKNOWN),
        processes=_made(checkpoint).get('ranks', UNKNOWN),
        seed=UNKNOWN if seed is None else seed,
        other_hooks=hooks,
    )


def _precision(wrapper, scope):
    """The precision of the forward pass, in words."""
    kind = class_of(OPTIM_WRAPPERS, wrapper, scope)
    if not isinstance(kind, type):
        return UNKNOWN
    if issubclass(kind, BFloat16OptimWrapper):
        return 'bfloat16 (autocast)'
    if issubclass(kind, AmpOptimWrapper):
        return f'{wrapper.get("dtype") or "default of the device"} (autocast)'
    return 'float32'


def _versions(checkpoint):
    """Versions in the training, and whose defaults were filled in."""
    known = _made(checkpoint).get('versions')
    if not isinstance(known, dict):
        known = dict.fromkeys(made_with.PACKAGES, UNKNOWN)
        known['mmengine'] = checkpoint['meta'].get('mmengine_version', UNKNOWN)
    return {
        **known,
        'defaults above': f'mmkd_plugin {mmkd_plugin.__version__}',
    }


def _made(checkpoint):
    """What the checkpoint says of how it was made."""
    made = checkpoint['meta'].get(made_with.NAME)
    return made if isinstance(made, dict) else {}


def readable(value):
    """A value as plain YAML; of absolute paths, what names no machine."""
    if isinstance(value, Mapping):
        return {readable(key): readable(x) for key, x in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [readable(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str) and os.path.isabs(value):
        path = os.path.normpath(value)
        *_, name = path.rpartition('/configs/')
        return f'configs/{name}' if name != path else os.path.basename(path)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(getattr(value, '__name__', value))
