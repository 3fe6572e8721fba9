"""NumPy arrays and scalars from a file, with every number checked first."""

import re
from math import prod

import numpy as np

from .stand_in import StandIn
from .stored_tensors import expect

# Dtypes whose items are plain numbers, text or bytes.
PLAIN = re.compile(r'[<>|=]?(b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32))')
SIZED = re.compile(r'[<>|=]?([SUV])(\d{1,9})')
TIMES = re.compile(r'[<>|=]?([mM])8')
UNITS = ('Y', 'M', 'W', 'D', 'h', 'm', 's', 'ms', 'us', 'ns', 'ps', 'fs', 'as')
# Limit of items of an array without bytes.
MOST_EMPTY = 1 << 20


class Unfinished:
    """An object that is built once its state is known.

    Args:
        finish (Callable): From the state to the object.
    """

    def __init__(self, finish) -> None:
        self.finish = finish
        self.places: list[int] = []


def dtype(code, align=False, copy=False) -> Unfinished:
    """``numpy.dtype``, completed by its state."""
    expect(isinstance(code, str), 'a dtype of NumPy has no code')
    return Unfinished(lambda state: _finish_dtype(code, state))


def _finish_dtype(code: str, state) -> np.dtype:
    expect(
        isinstance(state, tuple) and len(state) in (8, 9),
        'a dtype of NumPy has no state',
    )
    version, order, base, names, fields, width, _, flags = state[:8]
    expect(
        version in (3, 4) and order in ('<', '>', '|', '='),
        'a dtype of NumPy is of an unknown version',
    )
    if code in ('O8', 'O4', 'O'):
        return np.dtype(object)
    if PLAIN.fullmatch(code):
        return np.dtype(code.lstrip('<>|=')).newbyteorder(order)
    if TIMES.fullmatch(code):
        return np.dtype(f'{order}{code[-2:]}[{_unit(state)}]')
    found = SIZED.fullmatch(code)
    expect(found, 'a dtype of NumPy is of an unknown kind')
    kind, size = found[1], int(found[2])  # type: ignore[index]
    expect(
        type(width) is int and width == size * (4 if kind == 'U' else 1),
        'a dtype of NumPy has a wrong size',
    )
    if kind != 'V':
        return np.dtype(f'{order}{kind}{size}')
    if base is not None:
        return _subarray(base, size)
    if names is None:
        return np.dtype(f'V{size}')
    return _structure(names, fields, size, flags)


def _unit(state: tuple) -> str:
    """The unit of a time, such as ``25us``."""
    if len(state) == 8:
        return 'generic'
    expect(
        isinstance(state[8], tuple)
        and len(state[8]) == 2
        and isinstance(state[8][1], tuple)
        and len(state[8][1]) == 4,
        'a time of NumPy has no unit',
    )
    unit, number, denominator, _ = state[8][1]
    unit = unit.decode('ascii') if isinstance(unit, bytes) else unit
    if unit == 'generic':
        return unit
    expect(
        unit in UNITS
        and type(number) is int
        and 0 < number < 1 << 31
        and denominator == 1,
        'a time of NumPy has no unit',
    )
    return f'{number}{unit}'


def _is_inside(kind, size: int) -> bool:
    return (
        isinstance(kind, np.dtype)
        and not kind.hasobject
        and kind.itemsize <= size
    )


def _subarray(base, size: int) -> np.dtype:
    expect(
        isinstance(base, tuple)
        and len(base) == 2
        and _is_inside(base[0], size)
        and is_shape(base[1])
        and len(base[1]) <= 32
        and prod(base[1]) * base[0].itemsize == size,
        'a dtype of NumPy has wrong parts',
    )
    return np.dtype((base[0], base[1]))


def _structure(names, fields, size: int, flags) -> np.dtype:
    expect(
        isinstance(names, tuple)
        and len(names) < 1000
        and all(isinstance(name, str) for name in names)
        and isinstance(fields, dict)
        and set(fields) == set(names)
        and all(
            isinstance(field, tuple)
            and len(field) in (2, 3)
            and _is_inside(field[0], size)
            and type(field[1]) is int
            and 0 <= field[1] <= size - field[0].itemsize
            for field in fields.values()
        ),
        'a dtype of NumPy has wrong fields',
    )
    return np.dtype(
        dict(
            names=list(names),
            formats=[fields[name][0] for name in names],
            offsets=[fields[name][1] for name in names],
            itemsize=size,
        )
    )


def is_shape(value) -> bool:
    """Whether a value is a shape with dimensions that NumPy supports."""
    return (
        isinstance(value, tuple)
        and len(value) <= 32
        and all(type(n) is int and 0 <= n < 1 << 48 for n in value)
    )


def _fill(kind, shape, raw, order) -> np.ndarray:
    """An array from exactly the bytes in the file."""
    expect(
        isinstance(kind, np.dtype) and is_shape(shape),
        'an array of NumPy has no shape',
    )
    count = prod(shape)
    if kind.kind == 'O' and isinstance(raw, list):
        expect(count == len(raw), 'an array of NumPy has another size')
        flat = np.empty(count, object)
        for at, item in enumerate(raw):
            flat[at] = item
        return flat.reshape(shape, order=order)
    expect(not kind.hasobject, 'an array of NumPy points into the memory')
    if isinstance(raw, str):  # as Python 2 wrote bytes
        raw = raw.encode('latin1')
    expect(
        isinstance(raw, (bytes, bytearray))
        and len(raw) == count * kind.itemsize,
        'an array of NumPy has another size than its bytes',
    )
    if not raw:
        expect(
            prod(n for n in shape if n) <= MOST_EMPTY,
            'an empty array of NumPy is too large',
        )
        return np.zeros(shape, kind)
    flat = np.frombuffer(bytearray(raw), kind)
    return flat.reshape(shape, order=order)


def array(kind, shape, code) -> Unfinished | StandIn:
    """``numpy.core.multiarray._reconstruct``, completed by its state."""
    if isinstance(kind, StandIn):
        return StandIn(kind.name, (shape, code))
    expect(kind is np.ndarray, 'an array is of an unknown class')

    def finish(state) -> np.ndarray:
        expect(
            isinstance(state, tuple) and len(state) == 5,
            'an array of NumPy has no state',
        )
        _, shape, kind, by_column, raw = state
        return _fill(kind, shape, raw, 'F' if by_column is True else 'C')

    return Unfinished(finish)


def from_buffer(raw, kind, shape, order) -> np.ndarray:
    """``numpy.core.numeric._frombuffer``, of protocol 5."""
    return _fill(kind, shape, raw, 'F' if order == 'F' else 'C')


def scalar(kind, raw=b'') -> object:
    """``numpy.core.multiarray.scalar``."""
    return _fill(kind, (), raw, 'C')[()]
