"""Channels of a loss that are measured: ``student_channels='auto'``."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn as nn

from ..arguments import shown
from ..exceptions import MMKDTypeError

AUTO = 'auto'
# Arguments of a loss, in the order in which a tap counts.
CHANNELS = ('student_channels', 'teacher_channels')
# Height and width of what is shown: divisible by the strides of pyramids and
# by the patches of transformers.
SIDE = 224


def is_auto(cfg: object) -> bool:
    """Whether a config of a loss leaves channels to be measured."""
    return isinstance(cfg, Mapping) and AUTO in map(cfg.get, CHANNELS)


def placeholder(cfg: Mapping) -> dict:
    """The config with one channel per level where it is to be measured.

    A loss that is built from it has its settings checked.
    """
    told = [cfg[key] for key in CHANNELS if isinstance(cfg.get(key), list)]
    levels = len(told[0]) if told else 1
    return {
        key: [1] * levels if key in CHANNELS and value == AUTO else value
        for key, value in cfg.items()
    }


def measured(
    name: str, cfg: Mapping, tap: Any, student: nn.Module, teacher: nn.Module
) -> dict:
    """The config with the channels that a tap finds.

    Args:
        name: Of the term, for the message.
        cfg: One for which :func:`is_auto` holds.
        tap: Has ``channels``.
        student: Not wrapped.
        teacher: With any weights.

    Raises:
        TypeError: If the tap cannot tell.
    """
    if not hasattr(tap, 'channels'):
        raise MMKDTypeError(
            f'Expected `losses.{name}` to name its channels but got '
            f'{shown(AUTO)}, which {type(tap).__name__} cannot measure: write '
            'them as a list, or read from a FeatureTap.'
        )
    with _evaluating(student), _evaluating(teacher), torch.no_grad():
        found = dict(zip(CHANNELS, tap.channels(student, teacher, SIDE)))
    return {
        key: found[key] if key in found and value == AUTO else value
        for key, value in cfg.items()
    }


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode, and each module back into its own."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
