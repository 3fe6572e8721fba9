"""Reading a file of ``torch.save``."""

import os
import sys
from collections.abc import Callable

import torch

from .pickle_machine import ROOM, Machine, Window
from .safetensors_file import bytes_of
from .stored_tensors import STORAGES, Storage, StorageType, Tensors, expect
from .zip_records import Records

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read_zip(file, move: Callable) -> tuple[object, int]:
    """Read a zip file, the format of torch since 1.6.

    Args:
        file (BinaryIO): The file.
        move: From a storage and the name of its device when it was saved to
            the storage on the wanted device.

    Returns:
        The content, and the number of stand-ins in it.
    """
    room = ROOM + 2 * file.seek(0, os.SEEK_END)
    records = Records(file, ROOM)
    order = b'little'
    if 'byteorder' in records:
        begin, size = records.place('byteorder')
        order = Window(file, begin, size).read(min(size, 8))
    expect(order in (b'little', b'big'), 'its order of bytes is unknown')
    loaded: dict = {}

    def storage_of(kind, key, location, count) -> Storage:
        kind, key, location, size = _described(kind, key, location, count)
        if key not in loaded:
            # The pickle continues at its position.
            place = file.tell()
            begin, length = records.place(f'data/{key}')
            expect(length == size, 'a storage has another size')
            data = torch.UntypedStorage(size)
            file.seek(begin)
            _fill(file, data)
            file.seek(place)
            if order.decode() != sys.byteorder:
                data.byteswap(kind.dtype)
            loaded[key] = move(data, location)
        expect(loaded[key].nbytes() == size, 'a storage is named in two sizes')
        return Storage(loaded[key], kind.dtype)

    tensors = Tensors(records.size)
    window = Window(file, *records.place('data.pkl'))
    machine = Machine(window, tensors, storage_of, room)
    content = machine.load()
    return content, machine.stand_ins


def read_legacy(file, move: Callable) -> tuple[object, int]:
    """Read a file of torch before 1.6: five pickles, then the storages.

    The pickle of the content is run twice: first to find the storages, which
    come after it, then with them.
    """
    size = file.seek(0, os.SEEK_END)
    window = Window(file, 0, size)
    sizes: dict = {}
    loaded: dict = {}

    def storage_of(kind, key, location, count, view=None) -> Storage:
        expect(view is None, 'a storage is a part of another')
        kind, key, location, length = _described(kind, key, location, count)
        known = sizes.setdefault(key, (kind.dtype, length, location))
        expect(known[:2] == (kind.dtype, length), 'a storage has two sizes')
        data = loaded.get(key)
        if data is None:
            data = torch.UntypedStorage(0)
        return Storage(data, kind.dtype)

    def run(dry: bool) -> Machine:
        room = ROOM // 2 + size
        return Machine(window, Tensors(size, dry), storage_of, room)

    for wanted in (LEGACY_MAGIC, 1001):
        expect(run(True).load() == wanted, 'it is of an unknown version')
    run(True).load()  # the system that wrote it
    begin = size - window.left
    run(True).load()
    keys = run(True).load()
    expect(
        isinstance(keys, list)
        and len(set(keys)) == len(keys) == len(sizes)
        and set(keys) == set(sizes),
        'its storages are not those that it names',
    )
    for key in keys:
        dtype, length, location = sizes[key]
        width = torch.empty(0, dtype=dtype).element_size()
        count = int.from_bytes(window.read(8), 'little')
        expect(count * width == length, 'a storage has another size')
        expect(length <= window.left, 'it is cut off')
        data = torch.UntypedStorage(length)
        _fill(file, data)
        window.left -= length
        loaded[key] = move(data, location)
    window = Window(file, begin, size - begin)
    machine = run(False)
    content = machine.load()
    return content, machine.stand_ins


def _described(kind, key, location, count) -> tuple:
    """Check the description of a storage."""
    dtype = kind.dtype if isinstance(kind, StorageType) else None
    expect(dtype is not None and kind.name in STORAGES, 'a storage is unknown')
    expect(
        isinstance(key, str)
        and len(key) < 100
        and isinstance(location, str)
        and type(count) is int
        and 0 <= count < 1 << 50,
        'a storage is described wrongly',
    )
    width = torch.empty(0, dtype=dtype).element_size()
    return kind, key, location, count * width


def _fill(file, data: torch.UntypedStorage) -> None:
    """Read the next bytes into a storage."""
    if not data.nbytes():
        return
    target = torch.empty(0, dtype=torch.uint8).set_(data)
    read = file.readinto(bytes_of(target))
    expect(read == data.nbytes(), 'it is cut off')
