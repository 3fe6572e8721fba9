"""Reading a safetensors file: a JSON header, then raw numbers."""

import json
from math import prod
from typing import Any, BinaryIO

import torch

from .stored_tensors import expect, is_size

DTYPES = {
    name: getattr(torch, of)
    for name, of in dict(
        F64='float64',
        F32='float32',
        F16='float16',
        BF16='bfloat16',
        I64='int64',
        I32='int32',
        I16='int16',
        I8='int8',
        U64='uint64',
        U32='uint32',
        U16='uint16',
        U8='uint8',
        BOOL='bool',
        C64='complex64',
        F8_E4M3='float8_e4m3fn',
        F8_E5M2='float8_e5m2',
    ).items()
    if hasattr(torch, of)
}
LONGEST_HEADER = 8 << 20


def read_safetensors(file: BinaryIO, size: int) -> dict[str, torch.Tensor]:
    """Read all tensors.

    Args:
        file: At its beginning.
        size: Bytes of the file.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        ValueError: If the header does not fit the file.
    """
    length = int.from_bytes(file.read(8), 'little')
    expect(length <= min(size - 8, LONGEST_HEADER), 'its header is too long')
    header = json.loads(file.read(length), object_pairs_hook=_unique_keys)
    expect(isinstance(header, dict), 'its header is no dict')
    header.pop('__metadata__', None)
    end, tensors = 0, {}
    for name, entry in sorted(header.items(), key=_data_offsets):
        dtype, shape = DTYPES.get(entry.get('dtype')), entry.get('shape')
        expect(dtype is not None, 'a tensor has an unknown dtype')
        expect(is_size(shape), 'a tensor has no shape')
        count = prod(shape)
        width = torch.empty(0, dtype=dtype).element_size()
        expect(
            entry['data_offsets'] == [end, end + count * width],
            'its tensors overlap or have another size',
        )
        end += count * width
        expect(8 + length + end <= size, 'it is cut off')
        tensors[name] = torch.empty(shape, dtype=dtype)
        if count:
            file.readinto(bytes_of(tensors[name]))  # type: ignore[attr-defined]
    expect(8 + length + end == size, 'it is longer than its tensors')
    return {name: tensors[name] for name in header}


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """The writable memory of a tensor."""
    flat = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
    return memoryview(flat.numpy())  # type: ignore[arg-type]


def _data_offsets(entry: tuple) -> tuple:
    _, value = entry
    offsets: Any = None
    if isinstance(value, dict):
        offsets = value.get('data_offsets')
    expect(
        isinstance(offsets, list)
        and len(offsets) == 2
        and all(type(n) is int for n in offsets),
        'its header is damaged',
    )
    return offsets[0], offsets[1]


def _unique_keys(pairs: list) -> dict:
    found = dict(pairs)
    expect(len(found) == len(pairs), 'its header holds a name twice')
    return found
