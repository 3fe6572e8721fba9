"""Counting the operations for which a program waits for the GPU."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Their result, or its shape, has to be known on the host.
READS = {
    aten._local_scalar_dense,
    aten.equal,
    aten.is_nonzero,
    aten.masked_select,
    aten.nonzero,
    aten.unique_consecutive,
    aten.unique_dim,
    aten._unique,
    aten._unique2,
}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
COPIES = {aten._to_copy, aten.copy_}


class Recorder(TorchDispatchMode):
    """Records the operations of a block, in backward too.

    Attributes:
        ops (Counter): Name of each to the number of its calls.
        waits (Counter): The same of those that wait for the GPU, if that is
            where the tensors are.
    """

    def __init__(self):
        super().__init__()
        self.ops = Counter()
        self.waits = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.ops[name] += 1
        if waits(func.overloadpacket, args, out):
            self.waits[name] += 1
        return out


def waits(op, args, out):
    """Whether an operation makes the host wait."""
    if op in READS:
        return True
    if op in COPIES:
        source = args[1] if op is aten.copy_ else args[0]
        return source.device != out.device
    if op in INDEXED:
        return any(
            index.dtype in (torch.bool, torch.uint8)
            or index.device != args[0].device
            for index in args[1]
            if index is not None
        )
    return False
