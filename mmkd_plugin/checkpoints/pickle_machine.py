"""An unpickler that calls only functions of this package."""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from sys import getsizeof
from types import FunctionType, MethodType
from typing import Any

from mmengine.logging import HistoryBuffer

from .harmful_names import names_code
from .known_kinds import (
    FUNCTIONS,
    MAKERS,
    NAMES,
    STATISTICS,
    names_of,
    refuse_name,
    refuse_unless,
)
from .stand_in import StandIn, brief
from .stored_arrays import Unfinished
from .stored_tensors import OVERHEAD, expect

# Limit of memory in bytes, in addition to twice the file size.
ROOM = 96 << 20
# Limit of dict keys or set members that are not strings or small integers, as
# an attacker can give them colliding hashes.
MOST_KEYS = 10_000
LARGEST_KEY = (1 << 61) - 1
LONGEST_INT = 1024
# Opcode -> bytes of memory; for `SIZED` the size of the result is added.
COSTS = dict.fromkeys(range(256), 16)
for _name, _cost in dict(
    MARK=160, EMPTY_SET=480, EMPTY_DICT=320, EMPTY_LIST=320,
    TUPLE=240, TUPLE1=240, TUPLE2=240, TUPLE3=240, FROZENSET=480,
    PUT=120, BINPUT=120, LONG_BINPUT=120, MEMOIZE=120,
    SETITEM=120, SETITEMS=0, ADDITEMS=0, APPEND=24, APPENDS=0,
    REDUCE=800, NEWOBJ=800, NEWOBJ_EX=800, OBJ=800, INST=800, BUILD=800,
    GLOBAL=64, STACK_GLOBAL=64, BINPERSID=400,
).items():  # fmt: skip
    COSTS[getattr(pickle, _name)[0]] = _cost
SIZED = frozenset(
    getattr(pickle, name)[0]
    for name in (
        *('FLOAT', 'BINFLOAT', 'INT', 'BININT', 'LONG', 'LONG1', 'LONG4'),
        *('STRING', 'BINSTRING', 'SHORT_BINSTRING', 'BINBYTES'),
        *('SHORT_BINBYTES', 'BINBYTES8', 'BYTEARRAY8', 'UNICODE'),
        *('BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8', 'TUPLE'),
        *('TUPLE1', 'TUPLE2', 'TUPLE3', 'LIST', 'DICT', 'FROZENSET'),
    )
)
SCALARS = frozenset(
    {str, bytes, bool, type(None), float, complex}  # and small integers
)


class Window:
    """A part of a file, with reads limited to it.

    Args:
        file (BinaryIO): The file.
        start, size: Offset and length of the part.
    """

    def __init__(self, file, start: int, size: int) -> None:
        file.seek(start)
        self._file = file
        self.left = size

    def read(self, size: int) -> bytes:
        """The next bytes.

        Raises:
            EOFError: If there are fewer.
        """
        if not 0 <= size <= self.left:
            raise EOFError('it ends too early')
        self.left -= size
        return self._file.read(size)

    def readline(self) -> bytes:
        """The next line."""
        line = self._file.readline(min(self.left, 1 << 20))
        self.left -= len(line)
        return line


class Machine(pickle._Unpickler):
    """Unpickler that turns a pickle into data.

    Args:
        window: The part of the file with the pickle.
        tensors (Tensors): Builds the tensors.
        storage_of (Callable): From the parts of a persistent id to a
            :class:`~mmkd_plugin.checkpoints.stored_tensors.Storage`.
        room: Limit of memory in bytes.

    Attributes:
        stand_ins (int): Number of stand-ins that were made.
    """

    memo: dict[int, Any]
    pop_mark: Callable[[], list]
    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]
    for _name in (
        'EXT1 EXT2 EXT4 NEXT_BUFFER READONLY_BUFFER PERSID'.split()  # noqa: SIM905
    ):
        del dispatch[getattr(pickle, _name)[0]]

    def __init__(self, window: Window, tensors, storage_of, room: int) -> None:
        super().__init__(window)  # type: ignore[arg-type]
        self._window = window
        self._tensors = tensors
        self._known = {**NAMES, **names_of(tensors)}
        self._makers = set(names_of(tensors).values())
        self._storage_of = storage_of
        self._room = room
        self._keys = 0
        self.stand_ins = 0

    def load(self) -> Any:
        """Run the pickle.

        Raises:
            UnsafeFileError: If it names code.
            ValueError, EOFError, KeyError, TypeError: If it is damaged, or
                would need too much memory.
        """
        window = self._window
        self._unframer = pickle._Unframer(  # type: ignore[attr-defined]
            window.read, window.readline
        )
        self.read = self._unframer.read
        self.readline = self._unframer.readline
        self.metastack: list = []
        self.stack: list = []
        self.append = self.stack.append
        self.proto = 0
        read = self.read
        dispatch: Any = self.dispatch
        spent = 0
        try:
            while True:
                code = read(1)[0]
                dispatch[code](self)
                spent += COSTS[code]
                if code in SIZED:
                    spent += getsizeof(self.stack[-1])
                if spent > self._room:
                    expect(False, 'it takes far more memory than its size')
        except pickle._Stop as stop:  # type: ignore[attr-defined]
            self._room -= spent
            return stop.value

    def find_class(self, module: str, name: str) -> object:
        """The replacement of a name; nothing is imported."""
        if self.proto < 3:
            both = pickle._compat_pickle.NAME_MAPPING.get(  # type: ignore[attr-defined]
                (module, name)
            )
            module, name = both or (
                pickle._compat_pickle.IMPORT_MAPPING.get(module, module),  # type: ignore[attr-defined]
                name,
            )
        full = f'{module}.{name}'
        if full in self._known:
            return self._known[full]
        if names_code(full) or self._is_of_known_class(full):
            refuse_name(full)
        self.stand_ins += 1
        return StandIn(full)

    def _is_of_known_class(self, full: str) -> bool:
        """Whether a name is a method of a class that is really built."""
        owner, _, name = full.rpartition('.')
        known = self._known.get(owner)
        if known is HistoryBuffer and name in STATISTICS:
            return False
        return isinstance(known, type)

    def persistent_load(self, pid) -> object:
        """A storage, the only object that is kept outside of the pickle."""
        if (
            isinstance(pid, tuple)
            and len(pid) == 4
            and pid[0] == 'module'
            and isinstance(pid[1], StandIn)
        ):
            return pid[1]  # old files contain the source code of modules
        expect(
            isinstance(pid, tuple)
            and len(pid) in (5, 6)
            and pid[0] in ('storage', b'storage'),
            'it refers to something that is no storage',
        )
        return self._storage_of(*pid[1:])

    def _make(self, kind, args, kwargs=None) -> object:
        """Call what is known; keep the arguments for what is not."""
        expect(type(args) in (tuple, list), 'a call has no arguments')
        if isinstance(kind, StandIn):
            refuse_unless(kind.args is None, 'it calls what it has made')
            self.stand_ins += 1
            extra = (kwargs,) if kwargs else ()
            return StandIn(kind.name, (*args, *extra))
        expect(not kwargs, 'a call has named arguments')
        make = self._maker_of(kind)
        if kind in (set, frozenset) and args:
            self._check_keys(args[0])
        elif isinstance(kind, type) and any(
            isinstance(arg, StandIn) for arg in args
        ):
            self.stand_ins += 1
            return StandIn(f'{kind.__module__}.{kind.__name__}', tuple(args))
        return self._count(make(*args))

    def _maker_of(self, kind):
        """The function of this package that is called instead of `kind`."""
        make = None
        if isinstance(kind, type):
            make = MAKERS.get(kind)
        elif isinstance(kind, FunctionType):
            make = kind if kind in FUNCTIONS else None
        elif isinstance(kind, MethodType) and kind in self._makers:
            make = kind
            self._room -= OVERHEAD
        refuse_unless(make is not None, f'it calls {_kind(kind)}')
        return make

    def _count(self, made):
        """Subtract the memory of a new object from the limit."""
        self._room -= getsizeof(made)
        return made

    def _check_keys(self, keys) -> None:
        """Refuse keys that are chosen to make a hash table slow."""
        self._room -= 64 * len(keys)
        for key in keys:
            kind = type(key)
            if kind is str or kind is int and -LARGEST_KEY < key < LARGEST_KEY:
                continue
            self._keys += 1
            expect(
                self._keys <= MOST_KEYS and _is_key(key),
                'a key is neither a number nor text, or there are too many',
            )

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._make(self.stack[-1], args)

    def load_newobj(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._make(self.stack[-1], args)

    def load_newobj_ex(self) -> None:
        kwargs, args = self.stack.pop(), self.stack.pop()
        expect(type(kwargs) is dict, 'a call has no arguments')
        self.stack[-1] = self._make(self.stack[-1], args, kwargs)

    def _instantiate(self, klass, args) -> None:
        self.append(self._make(klass, args))

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, StandIn):
            refuse_unless(target.args is not None, 'it changes a class')
            target.state = state
        elif isinstance(target, Unfinished):
            made = self._count(target.finish(state))
            self.stack[-1] = made
            for place in target.places:
                self.memo[place] = made
        elif type(target) is OrderedDict:
            refuse_unless(_is_metadata(state), 'it sets attributes of a dict')
            target._metadata = state['_metadata']  # type: ignore[attr-defined]
        else:
            # Plain containers may have an empty state.
            refuse_unless(not state, f'it changes {_kind(target)}')

    def _memoize(self, place: int) -> None:
        self.memo[place] = top = self.stack[-1]
        if type(top) is Unfinished:
            top.places.append(place)

    def load_put(self) -> None:
        self._memoize(self._short_int(self.readline()))

    def load_binput(self) -> None:
        self._memoize(self.read(1)[0])

    def load_long_binput(self) -> None:
        self._memoize(struct.unpack('<I', self.read(4))[0])

    def load_memoize(self) -> None:
        self._memoize(len(self.memo))

    def load_append(self) -> None:
        value = self.stack.pop()
        self._extend(self.stack[-1], [value])

    def load_appends(self) -> None:
        items = self.pop_mark()
        self._extend(self.stack[-1], items)

    def _extend(self, target, items: list) -> None:
        self._room -= 16 * len(items)
        if isinstance(target, StandIn):
            target.items += items
            return
        refuse_unless(
            type(target).__name__ in ('list', 'deque'),
            f'it appends to {_kind(target)}',
        )
        target.extend(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(self.stack[-1], [key, value])

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self._set(self.stack[-1], items)

    def _set(self, target, items: list) -> None:
        expect(len(items) % 2 == 0, 'a key has no value')
        pairs = zip(items[::2], items[1::2])
        if isinstance(target, StandIn):
            self._room -= 80 * len(items)
            target.items += pairs
            return
        refuse_unless(
            isinstance(target, dict),
            f'it sets items of {_kind(target)}',
        )
        self._check_keys(items[::2])
        self._room -= 32 * len(items)
        # Counter would add the numbers, and ConfigDict copy the values.
        kind = OrderedDict if type(target) is OrderedDict else dict
        kind.update(target, pairs)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set(self.stack[-1], items)

    def load_additems(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        refuse_unless(type(target) is set, f'it adds to {_kind(target)}')
        self._check_keys(items)
        target.update(items)

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self._check_keys(items)
        self.append(frozenset(items))

    def load_bytearray8(self) -> None:
        self.append(bytearray(self.read(self._length('<Q', 8))))

    def load_long4(self) -> None:
        size = self._length('<i', 4)
        expect(size <= LONGEST_INT, 'an integer is too long')
        self.append(pickle.decode_long(self.read(size)))

    def load_long(self) -> None:
        self.append(self._short_int(self.readline().replace(b'L', b'')))

    def load_int(self) -> None:
        line = self.readline()
        truth = {b'00\n': False, b'01\n': True}
        self.append(truth[line] if line in truth else self._short_int(line))

    def load_get(self) -> None:
        self.append(self.memo[self._short_int(self.readline())])

    def _short_int(self, line: bytes) -> int:
        expect(len(line) < 2 * LONGEST_INT, 'an integer is too long')
        return int(line)

    def _length(self, form: str, size: int) -> int:
        return struct.unpack(form, self.read(size))[0]

    def _decode_string(self, value: bytes) -> str:
        """A string of Python 2, which may be bytes."""
        try:
            return value.decode('ascii')
        except UnicodeDecodeError:
            return value.decode('latin1')

    def load_stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        expect(
            type(name) is str and type(module) is str, 'a class has no name'
        )
        self.append(self.find_class(module, name))


for _code, _function in list(Machine.dispatch.items()):
    # Methods that are overridden above, under the same names.
    Machine.dispatch[_code] = getattr(Machine, _function.__name__)


def _kind(value: object) -> str:
    return brief(type(value).__name__)


def _is_key(key, depth: int = 0) -> bool:
    """Whether a value is cheap to hash and to compare."""
    if type(key) in (tuple, frozenset):
        return (
            depth < 4
            and len(key) <= 16
            and all(_is_key(part, depth + 1) for part in key)
        )
    if type(key) is int:
        return abs(key) < 1 << 4096
    return type(key) in SCALARS or type(key).__module__ in (
        'datetime',
        'numpy',
        'numpy.dtypes',
        'pathlib',
        'pathlib._local',
        'torch',
        'torch.torch_version',
        'uuid',
        'builtins',
        StandIn.__module__,
    )


def _is_metadata(state) -> bool:
    """Whether this is the ``_metadata`` that torch adds to a state dict."""
    return (
        type(state) is dict
        and list(state) == ['_metadata']
        and isinstance(state['_metadata'], dict)
        and all(
            isinstance(name, str)
            and isinstance(of, dict)
            and all(
                isinstance(key, str)
                and (value is None or type(value) in (int, bool))
                for key, value in of.items()
            )
            for name, of in state['_metadata'].items()
        )
    )
