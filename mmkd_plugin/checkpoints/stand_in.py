"""Stand-ins for objects of unknown classes."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np


class StandIn:
    """The data of an object, without its class and without behaviour.

    It is pickled as a plain dict, so a file that is saved again does not need
    this package.

    Attributes:
        name: Full name of the class or function.
        args: Its arguments; None if the file only names it.
        state: The state that sets its attributes.
        items: Appended or added items, or pairs (key, value).
    """

    __slots__ = ('args', 'items', 'name', 'state')

    def __init__(self, name: str, args: tuple | None = None) -> None:
        self.name = name
        self.args = args
        self.state: Any = None
        self.items: list = []

    def __reduce__(self):
        return OrderedDict, (), None, None, iter(self.parts())

    def parts(self) -> list:
        """Pairs of name and value of all attributes."""
        return [(name, getattr(self, name)) for name in self.__slots__]

    def __repr__(self) -> str:
        return f'<stand-in of {brief(self.name)}>'


def brief(text: object) -> str:
    """A name from a file, short and on one line of printable characters."""
    shown = str(text)[:100].encode('unicode_escape').decode()
    return shown if len(shown) <= 100 else f'{shown[:97]}...'


def children(value: object) -> Iterator[tuple[object, object]]:
    """The children of an object, each with its name in a path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item
            if not isinstance(key, str):
                yield 'key', key
        yield from getattr(value, '__dict__', {}).items()
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)
    elif isinstance(value, (set, frozenset)):
        yield from (('item', item) for item in value)
    elif isinstance(value, StandIn):
        yield from value.parts()
    elif isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            yield from enumerate(value.flat)
    elif isinstance(value, slice):
        yield from enumerate((value.start, value.stop, value.step))
    elif type(value).__name__ in HOLDERS:
        # deque, Namespace, SimpleNamespace, Config, HistoryBuffer
        if type(value).__name__ == 'deque':
            yield from enumerate(value)  # type: ignore[arg-type]
        else:
            yield from vars(value).items()


HOLDERS = ('deque', 'Namespace', 'SimpleNamespace', 'Config')


def stand_ins(content: object) -> list[tuple[str, str]]:
    """Find the stand-ins in the content of a file.

    Args:
        content: Content that this package has loaded.

    Returns:
        Path, such as ``meta.dataset_meta.root``, and class name of each.
    """
    found, visited = [], set()
    stack: list[tuple[tuple, object]] = [((), content)]
    while stack:
        path, value = stack.pop()
        if id(value) in visited:
            continue
        if isinstance(value, StandIn):
            found.append(('.'.join(map(brief, path)), brief(value.name)))
        below = [(path + (name,), item) for name, item in children(value)]
        if below:
            visited.add(id(value))
        stack += reversed(below)
    return found
