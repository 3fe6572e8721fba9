"""Checks of arguments from a config, each with a one-sentence error.

``True`` is not a number here, 1 and 'False' are not switches, and NumPy's
numbers are numbers.
"""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from .exceptions import MMKDTypeError, MMKDValueError

# In these ranges, z / tau of realistic logits and tau^2 fit into float32, and
# the loss does not overflow.
TAU = (0.0001, 10000)
WEIGHT = (0, 100000)


def shown(value: object, length: int = 200) -> str:
    """A value for a message, in one line of limited length."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= length else f'{text[:length]} ...'


def few(values: Iterable) -> str:
    """The first few of several values, for a message."""
    names = [str(value) for value in values]
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')


def check_number(name: str, value: object, least: float, most: float) -> None:
    """Raise unless an argument is a number in a closed range.

    Raises:
        ValueError: If it is no number, NaN, or out of range.
    """
    if (
        not isinstance(value, (int, float, np.integer, np.floating))
        or isinstance(value, bool)
        or not least <= value <= most
    ):
        raise MMKDValueError(
            f'Expected argument `{name}` to be a number from {least:g} to '
            f'{most:g} but got {shown(value)}.'
        )


def check_tau(**arguments: object) -> None:
    """Raise ValueError unless each argument is a valid temperature."""
    for name, value in arguments.items():
        check_number(name, value, *TAU)


def check_weight(**arguments: object) -> None:
    """Raise ValueError unless each argument is a valid loss weight."""
    for name, value in arguments.items():
        check_number(name, value, *WEIGHT)


def check_integer(
    name: str, value: object, least: int = 0, most: int | None = None
) -> None:
    """Raise ValueError unless an argument is an integer in a range."""
    if (
        not isinstance(value, (int, np.integer))
        or isinstance(value, bool)
        or value < least
        or (most is not None and value > most)
    ):
        size = f'>= {least}' if most is None else f'from {least} to {most}'
        raise MMKDValueError(
            f'Expected argument `{name}` to be an integer {size} but got '
            f'{shown(value)}.'
        )


def check_switch(**arguments: object) -> None:
    """Raise TypeError unless each argument is True or False."""
    for name, value in arguments.items():
        if not isinstance(value, bool):
            raise MMKDTypeError(
                f'Expected argument `{name}` to be True or False but got '
                f'{shown(value)}.'
            )


def check_choice(name: str, value: object, *choices: str) -> None:
    """Raise ValueError unless an argument is one of several strings."""
    if not isinstance(value, str) or value not in choices:
        raise MMKDValueError(
            f'Expected argument `{name}` to be one of {", ".join(choices)} '
            f'but got {shown(value)}.'
        )


def check_text(name: str, value: object) -> None:
    """Raise TypeError unless an argument is a string."""
    if not isinstance(value, str):
        raise MMKDTypeError(
            f'Expected argument `{name}` to be text but got {shown(value)}.'
        )


def check_path(name: str, value: object, what: str = 'a path') -> None:
    """Raise unless an argument can name a file, which need not exist.

    Raises:
        TypeError: If it is neither a string nor a path.
        ValueError: If it is empty, or the system does not allow the name.
    """
    if not isinstance(value, (str, Path)):
        raise MMKDTypeError(
            f'Expected argument `{name}` to be {what} but got {shown(value)}.'
        )
    reason = 'it is empty'
    try:
        # Raises for the home of an unknown user, a NUL or too long a name.
        if '://' in str(value):
            urlsplit(str(value))
        else:
            Path(value).expanduser().exists()
        if str(value).strip():
            return
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or str(error)
    raise MMKDValueError(
        f'Expected argument `{name}` to be {what} but got {shown(value)}: '
        f'{reason.rstrip(".")}.'
    )
