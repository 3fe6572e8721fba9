"""Tensors from the storages of a file, with every number checked first."""

from math import prod
from typing import Any, NamedTuple

import torch

from ..exceptions import MMKDValueError
from .stand_in import StandIn

STORAGES = dict(
    DoubleStorage=torch.float64,
    FloatStorage=torch.float32,
    HalfStorage=torch.float16,
    BFloat16Storage=torch.bfloat16,
    LongStorage=torch.int64,
    IntStorage=torch.int32,
    ShortStorage=torch.int16,
    CharStorage=torch.int8,
    ByteStorage=torch.uint8,
    BoolStorage=torch.bool,
    ComplexDoubleStorage=torch.complex128,
    ComplexFloatStorage=torch.complex64,
    QInt8Storage=torch.qint8,
    QUInt8Storage=torch.quint8,
    QInt32Storage=torch.qint32,
    UntypedStorage=torch.uint8,
)
# Bytes of memory of a tensor without its numbers.
OVERHEAD = 1024
# Tensors may share a storage, and repeat it with a stride of 0; their memory
# if each was copied is limited to twice the file size plus this.
VIEWS = 64 << 20
LAYOUTS = (
    torch.sparse_csr,
    torch.sparse_csc,
    torch.sparse_bsr,
    torch.sparse_bsc,
)


class StorageType(NamedTuple):
    """A storage class, such as ``torch.FloatStorage``, in a file."""

    name: str
    dtype: torch.dtype


class Storage(NamedTuple):
    """Bytes from a file, and their dtype."""

    data: torch.UntypedStorage
    dtype: torch.dtype


def expect(condition: object, what: str) -> None:
    """Refuse a file unless a condition holds.

    Raises:
        ValueError: If the condition does not hold.
    """
    if not condition:
        raise MMKDValueError(what)


def is_size(value: object) -> bool:
    """Whether a value is a shape with dimensions that torch supports."""
    return (
        isinstance(value, (tuple, list))
        and len(value) <= 64
        and all(type(n) is int and 0 <= n < 1 << 62 for n in value)
    )


class Tensors:
    """Builds the tensors of one file.

    Args:
        size: Bytes of the file.
        dry: Build empty ones, because the storages are not read yet.
    """

    def __init__(self, size: int, dry: bool = False) -> None:
        self.dry = dry
        self.left = 2 * size + VIEWS
        self.count = 0

    def _view(self, storage, offset, size, stride, dtype) -> Any:
        """A tensor within the bounds of a storage."""
        expect(isinstance(storage, Storage), 'a tensor has no storage')
        expect(
            is_size(size) and is_size(stride) and len(size) == len(stride),
            'a tensor has no shape',
        )
        expect(
            type(offset) is int and 0 <= offset < 1 << 62,
            'a tensor begins before its storage',
        )
        width = torch.empty(0, dtype=dtype).element_size()
        count = prod(size)
        if count:
            last = offset + sum((n - 1) * s for n, s in zip(size, stride))
            expect(
                self.dry or (last + 1) * width <= storage.data.nbytes(),
                'a tensor is larger than its storage',
            )
        self.left -= count * width
        self.count += 1
        expect(
            self.left >= 0,
            'its tensors declare far more numbers than the file has',
        )
        if self.dry:
            return torch.empty(0)
        if dtype in (torch.qint8, torch.quint8, torch.qint32):
            return storage.data
        tensor = torch.empty(0, dtype=dtype, device=storage.data.device)
        return tensor.set_(storage.data, offset, tuple(size), tuple(stride))

    def plain(
        self, storage, offset, size, stride, grad=False, hooks=(), meta=None
    ) -> torch.Tensor:
        """``torch._utils._rebuild_tensor`` and ``_rebuild_tensor_v2``."""
        dtype = getattr(storage, 'dtype', None)
        tensor = self._view(storage, offset, size, stride, dtype)
        return self._finish(tensor, grad, hooks, meta)

    def typed(
        self, storage, offset, size, stride, grad, hooks, dtype, meta=None
    ) -> torch.Tensor:
        """``torch._utils._rebuild_tensor_v3``."""
        expect(isinstance(dtype, torch.dtype), 'a tensor has no dtype')
        tensor = self._view(storage, offset, size, stride, dtype)
        return self._finish(tensor, grad, hooks, meta)

    def _finish(self, tensor, grad, hooks, meta=None) -> torch.Tensor:
        expect(type(grad) is bool and not hooks, 'a tensor has hooks')
        if self.dry:
            return tensor
        if meta:
            expect(
                type(meta) is dict and set(meta) <= {'conj', 'neg'},
                'a tensor has unknown marks',
            )
            if meta.get('conj') is True:
                tensor = tensor.conj()
            if meta.get('neg') is True:
                tensor = torch._neg_view(tensor)
        return tensor.requires_grad_() if grad else tensor

    def parameter(self, data, grad, hooks, state=None) -> torch.nn.Parameter:
        """``_rebuild_parameter``; additional attributes are left out."""
        expect(isinstance(data, torch.Tensor), 'a parameter has no numbers')
        expect(type(grad) is bool and not hooks, 'a parameter has hooks')
        self.count += 1
        return torch.nn.Parameter(data.detach(), grad)

    def sparse(self, layout, data) -> torch.Tensor:
        """``torch._utils._rebuild_sparse_tensor``."""
        expect(isinstance(data, tuple), 'a sparse tensor has no parts')
        *parts, size = data
        if layout is torch.sparse_coo and type(size) is not torch.Size:
            *parts, size = parts  # the last item is whether it is coalesced
        expect(
            is_size(size) and all(isinstance(p, torch.Tensor) for p in parts),
            'a sparse tensor has no shape',
        )
        self.count += 1
        if self.dry:
            return torch.empty(0)
        if layout is torch.sparse_coo:
            indices, values = parts
            tensor = torch.sparse_coo_tensor(
                indices, values, size, check_invariants=True
            )
            if len(data) == 4 and data[3] is True:
                tensor = tensor.coalesce()
            return tensor
        expect(layout in LAYOUTS, 'a sparse tensor has no layout')
        outer, inner, values = parts
        return torch.sparse_compressed_tensor(
            outer, inner, values, size, layout=layout, check_invariants=True
        )

    def quantized(
        self, storage, offset, size, stride, params, grad, hooks
    ) -> torch.Tensor:
        """``torch._utils._rebuild_qtensor``, for one scale per tensor."""
        expect(
            isinstance(params, tuple)
            and len(params) == 3
            and params[0] is torch.per_tensor_affine
            and type(params[1]) is float
            and type(params[2]) is int,
            'a tensor is quantized by channels, which is not read',
        )
        data = self._view(storage, offset, size, stride, storage.dtype)
        if self.dry:
            return data
        tensor = torch._empty_affine_quantized(
            (0,), scale=params[1], zero_point=params[2], dtype=storage.dtype
        )
        expect(grad is False and not hooks, 'a tensor has hooks')
        return tensor.set_(data, offset, tuple(size), tuple(stride))

    def meta(self, dtype, size, stride, grad) -> torch.Tensor:
        """``torch._utils._rebuild_meta_tensor_no_storage``."""
        expect(
            isinstance(dtype, torch.dtype)
            and is_size(size)
            and is_size(stride)
            and len(size) == len(stride),
            'a tensor has no shape',
        )
        self.count += 1
        return torch.empty_strided(size, stride, dtype=dtype, device='meta')

    def of_type(self, make, kind, args, state) -> object:
        """``torch._tensor._rebuild_from_type_v2``.

        Additional attributes of a plain tensor are left out.
        """
        expect(
            isinstance(kind, (type, StandIn))
            and getattr(make, '__self__', None) is self
            and isinstance(args, tuple),
            'a tensor is of an unknown class',
        )
        tensor = make(*args)
        if not isinstance(kind, StandIn):
            return tensor
        made = StandIn(kind.name, (tensor,))
        made.state = state
        return made


def layout_of(name) -> torch.layout:
    """``torch.serialization._get_layout``."""
    layout: Any = getattr(torch, str(name).removeprefix('torch.')[:30], None)
    expect(isinstance(layout, torch.layout), 'a tensor has no layout')
    return layout
