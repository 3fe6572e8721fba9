"""The parts of a distillation hook's config: teachers, losses, the tap."""

import inspect

from mmengine.registry import MODELS, TASK_UTILS, Registry

from ..arguments import check_number, check_text, shown
from ..exceptions import MMKDTypeError, MMKDValueError

# What a loss is called with.
LOSS_CALL = ('student', 'teacher', 'labels', 'weights')
# What the hook calls of a tap.
TAP_METHODS = ('check', 'attach', 'take', 'detach')


def check_teachers(teacher: object, kind: type) -> list[dict]:
    """Say what is wrong with the argument ``teacher``.

    Args:
        teacher (object): One config or a list of them.
        kind (type): The class whose arguments a config holds.

    Returns:
        list[dict]: The configs.

    Raises:
        TypeError: If a config is no dict, or lacks a key, or has one more.
    """
    cfgs: list = (
        list(teacher) if isinstance(teacher, (list, tuple)) else [teacher]
    )
    known = inspect.signature(kind).parameters
    for cfg in cfgs or [[]]:
        if not isinstance(cfg, dict) or not {'config', 'checkpoint'} <= {*cfg}:
            raise MMKDTypeError(
                'Expected argument `teacher` to be a dict with `config` '
                'and `checkpoint`, or a list of them, but got '
                f'{shown(cfg)}.'
            )
        unknown = [key for key in cfg if key not in known]
        if unknown:
            raise MMKDTypeError(
                f'Unknown key {unknown[0]!r} in argument `teacher`: '
                f'expected {", ".join(known)}.'
            )
    return cfgs


def check_losses(losses: object) -> None:
    """Say what is wrong with the argument ``losses``, or with its names.

    Raises:
        TypeError: If it is no dict, or empty.
        ValueError: If a name is none that can be logged.
    """
    if not isinstance(losses, dict) or not losses:
        raise MMKDTypeError(
            'Expected argument `losses` to be a dict with the config of '
            f'at least one loss but got {shown(losses)}.'
        )
    for name in losses:
        if not isinstance(name, str) or 'loss' not in name:
            raise MMKDValueError(
                "Expected every name in `losses` to contain 'loss' but "
                f'got {shown(name)}, which MMEngine would log and never '
                'back-propagate.'
            )
        if name == 'loss':
            raise MMKDValueError(
                "Expected every name in `losses` to be more than 'loss', by "
                'which MMEngine logs the sum of all terms: call it loss_kd.'
            )


def check_metrics(min_metric: object) -> None:
    """Say what is wrong with the argument ``min_metric``.

    Raises:
        TypeError: If it is no dict with names.
        ValueError: If a least value is no number.
    """
    if min_metric is None:
        return
    if not isinstance(min_metric, dict) or not all(
        isinstance(name, str) for name in min_metric
    ):
        raise MMKDTypeError(
            'Expected argument `min_metric` to be a dict with the names of '
            f'metrics and their least values but got {shown(min_metric)}.'
        )
    for name, least in min_metric.items():
        check_number(f'min_metric.{name}', least, -1e9, 1e9)


def build_loss(name: str, cfg: object):
    """Build a loss, and see whether it can be called as one.

    Raises:
        TypeError: If its config is no dict with ``type``, or what it builds
            is no loss.
        ValueError: If nothing registers its type.
    """
    what = f'`losses.{name}`'
    loss = _build(MODELS, cfg, what, 'losses')
    call = getattr(loss, 'forward', loss)
    try:
        inspect.signature(call).bind(*LOSS_CALL)
    except TypeError as error:
        raise MMKDTypeError(
            f'Expected {what} to be a loss that is called with '
            f'{", ".join(LOSS_CALL)} but got {type(loss).__name__} ({error}).'
        ) from error
    return loss


def build_tap(cfg: object):
    """Build a tap, and see whether it is one.

    Raises:
        TypeError, ValueError: As for :func:`build_loss`.
    """
    tap = _build(TASK_UTILS, cfg, '`tap`', 'taps')
    missing = [name for name in TAP_METHODS if not hasattr(tap, name)]
    if missing:
        raise MMKDTypeError(
            f'Expected `tap` to be a tap but got {type(tap).__name__}, which '
            f'has no method `{missing[0]}`.'
        )
    return tap


def _build(registry: Registry, cfg: object, what: str, package: str):
    """Build a loss or tap, or say which ones the plugin has."""
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise MMKDTypeError(
            f'Expected {what} to be a dict with `type` but got {shown(cfg)}.'
        )
    scope = cfg.get('_scope_')
    if scope is not None:
        check_text(f'{what.strip("`")}._scope_', scope)
    if not _is_class(registry, scope, cfg['type']):
        known = sorted(
            name
            for name, kind in registry.module_dict.items()
            if kind.__module__.startswith(f'mmkd_plugin.{package}.')
        )
        raise MMKDValueError(
            f'Expected the `type` of {what} to be one of {", ".join(known)}, '
            'or one that `custom_imports` in the config registers, but got '
            f'{shown(cfg["type"])}.'
        )
    return registry.build(cfg)


def _is_class(registry: Registry, scope: str | None, kind: object) -> bool:
    """Whether a type is a class, or the name of one."""
    if not isinstance(kind, str):
        return isinstance(kind, type)
    try:
        with registry.switch_scope_and_registry(scope) as current:
            return isinstance(current.get(kind), type)
    except Exception:
        return False  # a name with dots, which MMEngine tries to import
