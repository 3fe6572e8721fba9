"""The classes and functions that a file may name, and what replaces each.

Each object is built by a function of this package that checks its arguments.
"""

import argparse
import collections
import datetime
import decimal
import fractions
import pathlib
import pickle
import re
import types
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from torch.torch_version import TorchVersion

from ..exceptions import MMKDError
from .harmful_names import names_code
from .stand_in import StandIn, brief
from .stored_arrays import Unfinished, array, dtype, from_buffer, scalar
from .stored_tensors import STORAGES, StorageType, Tensors, expect, layout_of


class UnsafeFileError(MMKDError, pickle.UnpicklingError):
    """A file names something that is not known to be harmless."""


def refuse_unless(condition: object, what: str) -> None:
    """Refuse something that no library writes, but an attack may.

    Raises:
        UnsafeFileError: If the condition does not hold.
    """
    if not condition:
        raise UnsafeFileError(f'{what}.')


def refuse_name(full: str) -> None:
    """Refuse a file that names code.

    Raises:
        UnsafeFileError: Always.
    """
    raise UnsafeFileError(
        f'it holds {brief(full)}, which is not among the classes known to be '
        'harmless.'
    )


# Python cannot print longer integers.
MOST_DIGITS = 4000
LONGEST_RANGE = 1 << 20
STATISTICS = ('min', 'max', 'current', 'mean')
FACTORIES = (None, bool, dict, float, int, list, set, str, tuple)


def _numbers(*values) -> bool:
    return all(type(value) in (int, float, bool) for value in values)


def _int(value=0) -> int:
    expect(_numbers(value), 'a value is no number')
    return int(value)


def _float(value=0.0) -> float:
    if isinstance(value, str):
        expect(value in ('nan', 'inf', '-inf'), 'a value is no number')
        return float(value)
    expect(_numbers(value), 'a value is no number')
    return float(value)


def _complex(real=0.0, imaginary=0.0) -> complex:
    expect(_numbers(real, imaginary), 'a value is no number')
    return complex(real, imaginary)


def _items(kind: type) -> Callable:
    def make(items=()):
        expect(
            isinstance(items, (list, tuple, set, frozenset)),
            f'a {kind.__name__} is made of something else',
        )
        return kind(items)

    return make


def _dict(items=None) -> dict:
    expect(items is None or type(items) is dict, 'a dict is made of no dict')
    return dict(items or {})


def _ordered(pairs=()) -> collections.OrderedDict:
    expect(
        isinstance(pairs, list)
        and all(isinstance(p, list) and len(p) == 2 for p in pairs)
        or pairs == (),
        'an OrderedDict is made of something else',
    )
    return collections.OrderedDict(pairs)


def _default(factory=None):
    if not any(factory is known for known in FACTORIES):
        return StandIn('collections.defaultdict', (factory,))
    return collections.defaultdict(factory)


def _counter(counts=None) -> collections.Counter:
    counter: collections.Counter = collections.Counter()
    dict.update(counter, _dict(counts))
    return counter


def _deque(items=(), length=None) -> collections.deque:
    expect(
        isinstance(items, (list, tuple))
        and (length is None or type(length) is int and 0 <= length < 1 << 62),
        'a deque is made of something else',
    )
    return collections.deque(items, length)


def _bytes(text='', encoding='latin1') -> bytes:
    """``_codecs.encode`` for bytes as pickle protocol 2 writes them."""
    if isinstance(text, bytes) and encoding == 'latin1':
        return text
    refuse_unless(
        isinstance(text, str) and encoding in ('latin1', 'latin-1'),
        'it encodes text in an unknown way',
    )
    return text.encode('latin1')


def _bytearray(content=b'', encoding='latin1') -> bytearray:
    return bytearray(_bytes(content, encoding))


def _range(start, stop, step=1) -> range:
    expect(
        all(type(n) is int for n in (start, stop, step)) and step,
        'a range is of no integers',
    )
    made = range(start, stop, step)
    expect(
        max(abs(start), abs(stop)) < 1 << 62 and len(made) <= LONGEST_RANGE,
        'a range is too long',
    )
    return made


def _slice(*parts) -> slice:
    expect(
        len(parts) == 3 and all(p is None or type(p) is int for p in parts),
        'a slice is of no integers',
    )
    return slice(*parts)


def _zone(value) -> bool:
    return value is None or type(value) is datetime.timezone


def _raw(state, size: int) -> bytes:
    if isinstance(state, str):
        state = state.encode('latin1')
    expect(
        isinstance(state, bytes) and len(state) == size, 'a date is damaged'
    )
    return state


def _datetime(state, zone=None):
    a = _raw(state, 10)
    expect(_zone(zone), 'a date is in an unknown time zone')
    return datetime.datetime(
        a[0] << 8 | a[1], a[2] & 127, *a[3:7], a[7] << 16 | a[8] << 8 | a[9],
        zone, fold=a[2] >> 7,
    )  # fmt: skip


def _date(state) -> datetime.date:
    a = _raw(state, 4)
    return datetime.date(a[0] << 8 | a[1], a[2], a[3])


def _time(state, zone=None) -> datetime.time:
    a = _raw(state, 6)
    expect(_zone(zone), 'a time is in an unknown time zone')
    return datetime.time(
        a[0] & 127, a[1], a[2], a[3] << 16 | a[4] << 8 | a[5], zone,
        fold=a[0] >> 7,
    )  # fmt: skip


def _timedelta(days=0, seconds=0, microseconds=0) -> datetime.timedelta:
    expect(_numbers(days, seconds, microseconds), 'a duration is no number')
    return datetime.timedelta(days, seconds, microseconds)


def _timezone(offset, name=None) -> datetime.timezone:
    expect(
        isinstance(offset, datetime.timedelta)
        and (name is None or isinstance(name, str)),
        'a time zone is damaged',
    )
    args = () if name is None else (name,)
    return datetime.timezone(offset, *args)


def _path(kind: type) -> Callable:
    def make(*parts):
        expect(
            all(isinstance(p, str) for p in parts) and len(parts) < 1000,
            'a path is made of something else',
        )
        return kind(*parts)

    return make


def _fraction(number, denominator=None) -> fractions.Fraction:
    if isinstance(number, str):
        expect(
            len(number) < MOST_DIGITS
            and re.fullmatch(r'-?\d+(/\d+)?', number),
            'a fraction is damaged',
        )
        return fractions.Fraction(number)
    expect(
        type(number) is int and type(denominator) is int,
        'a fraction is damaged',
    )
    return fractions.Fraction(number, denominator)


def _decimal(text) -> decimal.Decimal:
    expect(
        isinstance(text, str)
        and len(text) < MOST_DIGITS
        and re.fullmatch(r'-?(\d+\.?\d*([eE][+-]?\d{1,6})?|\w+)', text),
        'a decimal number is damaged',
    )
    return decimal.Decimal(text)


def _size(items=()) -> torch.Size:
    expect(
        isinstance(items, (tuple, list))
        and all(type(n) is int and abs(n) < 1 << 62 for n in items),
        'a size is of no integers',
    )
    return torch.Size(items)


def _device(kind='cpu', index=None) -> torch.device:
    expect(
        isinstance(kind, str)
        and len(kind) < 30
        and (index is None or type(index) is int and 0 <= index < 128),
        'a device is damaged',
    )
    return torch.device(kind) if index is None else torch.device(kind, index)


def _version(text='') -> TorchVersion:
    expect(isinstance(text, str) and len(text) < 100, 'a version is damaged')
    return TorchVersion(text)


def _config_dict(items=None) -> ConfigDict:
    made = ConfigDict()
    dict.update(made, _dict(items))  # its own update copies everything below
    return made


def _named(make: Callable) -> Callable:
    """A maker for an object that is built from its attributes."""

    def start() -> Unfinished:
        def finish(state):
            expect(
                type(state) is dict and all(isinstance(k, str) for k in state),
                'attributes have no names',
            )
            return make(state)

        return Unfinished(finish)

    return start


def _uuid(state: dict) -> uuid.UUID:
    expect(type(state.get('int')) is int, 'a UUID is damaged')
    return uuid.UUID(int=state['int'])


def _namespace(kind: type) -> Callable:
    def make(state: dict):
        made = kind()
        vars(made).update(state)
        return made

    return make


def _history(state: dict) -> HistoryBuffer:
    values: Any = state.get('_log_history')
    counts: Any = state.get('_count_history')
    length: Any = state.get('max_length')
    for part in (values, counts):
        expect(
            isinstance(part, np.ndarray)
            and part.ndim == 1
            and part.dtype.kind in 'biuf',
            'a history of the log is damaged',
        )
    expect(
        len(values) == len(counts) and type(length) is int and length > 0,
        'a history of the log is damaged',
    )
    made = HistoryBuffer(max_length=length)
    # The statistics in the state are left out: the class has them.
    made._log_history, made._count_history = values, counts
    return made


def _config() -> Unfinished:
    def finish(state) -> Config:
        expect(
            isinstance(state, tuple)
            and len(state) > 1
            and type(state[0]) is ConfigDict,
            'a config is damaged',
        )
        made = Config()
        object.__setattr__(made, '_cfg_dict', state[0])
        return made

    return Unfinished(finish)


def look_up(owner, name) -> StandIn:
    """Replace ``getattr``, which a pickled HistoryBuffer uses.

    Enum members and methods of unknown classes are pickled with it too.
    """
    refuse_unless(isinstance(name, str), 'it looks up what has no name')
    if isinstance(owner, StandIn):
        if owner.args is not None:
            return StandIn('builtins.getattr', (owner, name))
        owner = owner.name
    elif owner is HistoryBuffer and name in STATISTICS:
        return StandIn('builtins.getattr', (owner, name))
    else:
        kind = owner if isinstance(owner, type) else type(owner)
        refuse_name(f'{kind.__module__}.{kind.__qualname__}.{name}')
    full = f'{owner}.{name}'
    if names_code(full):
        refuse_name(full)
    return StandIn(full)


def _reconstructor(kind, base, state=None):
    """``copyreg._reconstructor``, of protocols 0 and 1."""
    make = MAKERS.get(kind) if isinstance(kind, type) else None
    if isinstance(kind, StandIn):
        return StandIn(kind.name, () if state is None else (state,))
    refuse_unless(make is not None, 'an object is of no class')
    return make() if state is None else make(state)  # type: ignore[misc]


# Class -> the function that is called instead of it.
MAKERS: dict = {
    int: _int,
    float: _float,
    complex: _complex,
    list: _items(list),
    tuple: _items(tuple),
    set: _items(set),
    frozenset: _items(frozenset),
    dict: _dict,
    bytes: _bytes,
    bytearray: _bytearray,
    range: _range,
    slice: _slice,
    collections.OrderedDict: _ordered,
    collections.defaultdict: _default,
    collections.Counter: _counter,
    collections.deque: _deque,
    datetime.datetime: _datetime,
    datetime.date: _date,
    datetime.time: _time,
    datetime.timedelta: _timedelta,
    datetime.timezone: _timezone,
    fractions.Fraction: _fraction,
    decimal.Decimal: _decimal,
    uuid.UUID: _named(_uuid),
    argparse.Namespace: _named(_namespace(argparse.Namespace)),
    types.SimpleNamespace: _named(_namespace(types.SimpleNamespace)),
    torch.Size: _size,
    torch.device: _device,
    TorchVersion: _version,
    ConfigDict: _config_dict,
    Config: _config,
    HistoryBuffer: _named(_history),
    np.dtype: dtype,
}
for _kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath):
    MAKERS[_kind] = _path(_kind)
# Classes that may be named but not called.
CLASSES = (
    bool, str, object, np.ndarray, pathlib.Path, torch.Tensor,
    torch.nn.Parameter,
)  # fmt: skip


def _names() -> dict:
    """Everything that is known, by full name."""
    known: dict = {
        f'{kind.__module__}.{kind.__qualname__}': kind
        for kind in (*MAKERS, *CLASSES)
    }
    # A path of another system becomes a pure path.
    here = type(pathlib.Path())
    MAKERS[here] = _path(here)
    for package in ('pathlib', 'pathlib._local'):
        known[f'{package}.PosixPath'] = pathlib.PurePosixPath
        known[f'{package}.WindowsPath'] = pathlib.PureWindowsPath
        known[f'{package}.{here.__name__}'] = here
        known[f'{package}.PurePosixPath'] = pathlib.PurePosixPath
        known[f'{package}.PureWindowsPath'] = pathlib.PureWindowsPath
    known['pathlib.Path'] = pathlib.Path
    known['torch.Size'] = torch.Size
    known['torch.Tensor'] = torch.Tensor
    known['torch.torch_version.TorchVersion'] = TorchVersion
    known['torch.nn.parameter.Parameter'] = torch.nn.Parameter
    known['torch.serialization._get_layout'] = layout_of
    known['builtins.Ellipsis'] = ...
    known['builtins.getattr'] = look_up
    known['_codecs.encode'] = _bytes
    known['copyreg._reconstructor'] = _reconstructor
    # NumPy 1 and 2 keep these under different names.
    for package in ('numpy.core', 'numpy._core'):
        known[f'{package}.multiarray._reconstruct'] = array
        known[f'{package}.multiarray.scalar'] = scalar
        known[f'{package}.numeric._frombuffer'] = from_buffer
    for name, value in vars(torch).items():
        if isinstance(value, (torch.dtype, torch.qscheme)):
            known[f'torch.{name}'] = value
    for name, kind in STORAGES.items():
        for package in ('torch', 'torch.cuda', 'torch.storage'):
            known[f'{package}.{name}'] = StorageType(name, kind)
    for name in ('datetime', 'decimal', 'collections'):
        for full in [full for full in known if full.startswith(f'_{name}.')]:
            known[full[1:]] = known[full]
    return known


NAMES = _names()
FUNCTIONS = (
    layout_of, look_up, _bytes, _reconstructor, array, scalar, from_buffer,
)  # fmt: skip


def names_of(tensors: Tensors) -> dict:
    """The functions that build the tensors of a file, by full name."""
    return {
        'torch._utils._rebuild_tensor': tensors.plain,
        'torch._utils._rebuild_tensor_v2': tensors.plain,
        'torch._utils._rebuild_tensor_v3': tensors.typed,
        'torch._utils._rebuild_parameter': tensors.parameter,
        'torch._utils._rebuild_parameter_with_state': tensors.parameter,
        'torch._utils._rebuild_sparse_tensor': tensors.sparse,
        'torch._utils._rebuild_qtensor': tensors.quantized,
        'torch._utils._rebuild_meta_tensor_no_storage': tensors.meta,
        'torch._tensor._rebuild_from_type_v2': tensors.of_type,
    }
