"""The final check of the content of a file: only known types, not too many."""

import argparse
import collections
import datetime
import decimal
import fractions
import pathlib
import types
import uuid

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from torch.torch_version import TorchVersion

from .stand_in import StandIn, children
from .stored_tensors import expect

DEEPEST = 100
# Objects that a file may hold, each counted once per occurrence.
MOST_OBJECTS = 1 << 20
LEAVES = frozenset((
    bool, bytearray, bytes, complex, float, int, range, str, type(None),
    type(...), datetime.date, datetime.datetime, datetime.time,
    datetime.timedelta, datetime.timezone, decimal.Decimal,
    fractions.Fraction, uuid.UUID, HistoryBuffer, TorchVersion, torch.Size,
    torch.device, torch.dtype, torch.layout, torch.qscheme, torch.Tensor,
    torch.nn.Parameter, pathlib.PurePosixPath, pathlib.PureWindowsPath,
    type(pathlib.Path()),
))  # fmt: skip
HOLDERS = frozenset((
    dict, list, tuple, set, frozenset, slice, collections.Counter,
    collections.OrderedDict, collections.defaultdict, collections.deque,
    argparse.Namespace, types.SimpleNamespace, Config, ConfigDict, StandIn,
    np.ndarray,
))  # fmt: skip
TEXTS = frozenset((str, bytes, bytearray))


def check_content(content: object, size: int) -> None:
    """Raise unless the content of a file is plain data.

    Args:
        content: The content.
        size: Bytes of the file.

    Raises:
        ValueError: If it holds something other than a value, holds itself, is
            nested too deeply, or shares parts so often that traversing all
            of them would not end.
    """
    limit = MOST_OBJECTS + size
    # id -> (depth, number of objects below); None while it is visited.
    known: dict[int, tuple[int, int] | None] = {}
    stack: list[tuple[object, list | None]] = [(content, None)]
    while stack:
        value, below = stack.pop()
        kind = type(value)
        if kind in LEAVES:
            continue
        if kind not in HOLDERS:
            expect(
                isinstance(value, (np.generic, np.dtype, type)),
                f'it holds a {kind.__name__} for itself',
            )
            continue
        if below is None:
            if id(value) in known:
                expect(known[id(value)] is not None, 'it holds itself')
                continue
            known[id(value)] = None
            below = [item for _, item in children(value)]
            stack.append((value, below))
            stack += [(i, None) for i in below if type(i) not in LEAVES]
            continue
        depth, count = 0, 1
        for item in below:
            kind = type(item)
            inner = known.get(id(item)) if kind in HOLDERS else None
            if inner is not None:
                depth, count = max(depth, inner[0]), count + inner[1]
            elif kind in TEXTS:
                count += 1 + len(item) // 64
            else:
                count += 1
        expect(depth < DEEPEST, f'it is nested more than {DEEPEST} deep')
        expect(count <= limit, 'it holds the same parts over and over')
        known[id(value)] = (depth + 1, count)
