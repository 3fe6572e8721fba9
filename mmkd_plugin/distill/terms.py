"""The terms of a config: each a loss, and the tap that feeds it."""

import inspect
from typing import Any, NamedTuple

import torch
import torch.nn as nn
from mmengine.registry import MODELS, TASK_UTILS, Registry

from ..arguments import check_text, shown
from ..exceptions import MMKDTypeError, MMKDValueError
from .measured import is_auto, placeholder

# Arguments of a loss.
LOSS_CALL = ('student', 'teacher', 'labels', 'weights')
# Methods that a tap must have.
TAP_METHODS = ('fits', 'refuse', 'attach', 'take', 'detach')
# What taps read and losses compare, unless their `kind` says otherwise.
LOGITS = 'logits'
# Logits of a sigmoid per class.
SIGMOID = 'sigmoid'


class Term(NamedTuple):
    """One distillation term.

    Attributes:
        loss: Called with the reading of the tap.
        tap: The tap; None: the first one that fits the student.
    """

    loss: nn.Module
    tap: Any


def build_terms(losses: object, tap: object = None) -> dict[str, Term]:
    """Build the losses and taps, and check that they are such.

    A loss reads from the ``tap`` of its config, else from the ``default_tap``
    of its class, else from ``tap``.

    Args:
        losses: Name of each term to its loss, or to its config, which may
            have its own ``tap``.
        tap: Tap, or its config, for the losses of logits.

    Returns:
        In the order of ``losses``; losses with equal tap configs share one
        tap.

    Raises:
        TypeError: If ``losses`` is no dict or empty, a config is no dict with
            ``type``, or it builds neither a loss nor a tap.
        ValueError: If a name is invalid, or a type is not registered.
    """
    if not isinstance(losses, dict) or not losses:
        raise MMKDTypeError(
            'Expected argument `losses` to be a dict with the config of '
            f'at least one loss but got {shown(losses)}.'
        )
    for name in losses:
        _check_name(name)
    built: list[tuple] = []
    terms = {}
    for name, cfg in losses.items():
        has_tap = isinstance(cfg, dict) and 'tap' in cfg
        given = cfg['tap'] if has_tap else None
        if has_tap:
            cfg = {key: cfg[key] for key in cfg if key != 'tap'}
        loss = build_loss(name, placeholder(cfg) if is_auto(cfg) else cfg)
        where = f'`losses.{name}.tap`'
        if not has_tap:
            given = getattr(loss, 'default_tap', tap)
            where = where if hasattr(loss, 'default_tap') else '`tap`'
        found = [built_tap for known, built_tap in built if known == given]
        if not found:
            found = [None if given is None else _build_tap(where, given)]
            built.append((given, found[0]))
        terms[name] = Term(loss, found[0])
        _check_kinds(name, *terms[name])
    if tap is not None and all(known != tap for known, _ in built):
        raise MMKDTypeError(
            f'Got `tap`={shown(tap)}, but every loss in `losses` reads from a '
            'tap of its own: give the `tap` to the loss that it is for.'
        )
    return terms


def kind_of(part: object) -> str:
    """What a loss compares, or a tap reads.

    'logits' of a softmax over the classes, 'sigmoid', which are binary
    logits, 'features', 'margins', 'boxes', 'corners', 'bins', 'vectors',
    'indexed_vectors' or 'class_maps'.
    """
    return getattr(part, 'kind', LOGITS)


def numbers_of(loss: nn.Module) -> str:
    """A loss with its numbers, without the layers in it, for the log."""
    return f'{type(loss).__name__}({loss.extra_repr()})'


def settings_of(tap: object) -> str:
    """A tap as one writes it, for the log."""
    settings = ', '.join(
        f'{name}={value!r}'
        for name, value in vars(tap).items()
        if not name.startswith('_')
    )
    return f'{type(tap).__name__}({settings})'


def part_read(tap: Any, teacher: nn.Module) -> str:
    """What a tap reads of a teacher, for the log."""
    reads = getattr(tap, 'reads', None)
    return kind_of(tap) if reads is None else reads(teacher)


def _check_kinds(name: str, loss: nn.Module, tap: Any) -> None:
    read = LOGITS if tap is None else kind_of(tap)
    kinds = getattr(loss, 'kinds', (kind_of(loss),))
    if read not in kinds:
        by = 'no tap' if tap is None else type(tap).__name__
        wanted = ' or '.join(kinds)
        raise MMKDTypeError(
            f'Expected `losses.{name}` to read {wanted}, which '
            f'{type(loss).__name__} compares, but got {by}, which reads '
            f'{read}: give the loss a `tap` that reads {wanted}.'
        )


def default_tap(student: nn.Module) -> Any:
    """Build the first registered tap of logits that fits a student.

    Args:
        student: Not wrapped.

    Raises:
        TypeError: If none does.
    """
    taps = _taps_of(LOGITS)
    for kind in taps.values():
        tap = kind()
        if tap.fits(student):
            return tap
    for name, kind in _taps_of(SIGMOID).items():
        if kind().fits(student):
            raise MMKDTypeError(
                f'The student {type(student).__name__} has a sigmoid per '
                f'class, which {name} reads, but a loss without a `tap` '
                'compares the logits of a softmax: use a loss of sigmoids, '
                'such as BCKDLoss, or BinaryKDLoss with '
                f'`tap=dict(type={name!r})`.'
            )
    raise MMKDTypeError(
        f'The student {type(student).__name__} has no head that one of '
        f'{", ".join(taps)} reads: use an ImageClassifier or a two-stage '
        'detector such as Faster R-CNN, or give the hook a `tap` for it.'
    )


def _taps_of(wanted: str) -> dict[str, type]:
    """The registered taps of a kind, by name."""
    return {
        name: kind
        for name, kind in TASK_UTILS.module_dict.items()
        if all(hasattr(kind, method) for method in TAP_METHODS)
        and kind_of(kind) == wanted
    }


def _check_name(name: object) -> None:
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


def build_loss(name: str, cfg: object) -> nn.Module:
    """Build the loss of a term, without its tap.

    Raises:
        TypeError, ValueError: See :func:`build_terms`.
    """
    what = f'`losses.{name}`'
    # The student's first weights stay those of a training without the loss.
    with torch.random.fork_rng(devices=[]):
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


def _build_tap(what: str, cfg: object):
    tap: Any = cfg
    if not all(hasattr(cfg, method) for method in TAP_METHODS):
        tap = _build(TASK_UTILS, cfg, what, 'taps')
    missing = [name for name in TAP_METHODS if not hasattr(tap, name)]
    if missing:
        raise MMKDTypeError(
            f'Expected {what} to be a tap but got {type(tap).__name__}, which '
            f'has no method `{missing[0]}`.'
        )
    return tap


def _build(registry: Registry, cfg: object, what: str, package: str):
    """Build a loss or tap, or raise and list those of the plugin."""
    if isinstance(cfg, nn.Module):
        return cfg
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
        return False  # a dotted name that MMEngine fails to import
