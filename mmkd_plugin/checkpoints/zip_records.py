"""The records of a zip file of torch, which are not compressed."""

import os
import struct
from typing import BinaryIO

from ..exceptions import MMKDValueError

END = struct.Struct('<4s4H2LH')
END_64 = struct.Struct('<4sQ2H2L4Q')
LOCATOR_64 = struct.Struct('<4sLQL')
ENTRY = struct.Struct('<4s6H3L5H2L')
LOCAL = struct.Struct('<4s5H3L2H')
# Memory per entry.
BYTES_PER_ENTRY = 400
TORCHSCRIPT = 'it is a TorchScript archive, which is a program and not weights'


class Records:
    """The offset of each record in a file.

    Args:
        file: A zip file.
        room: Limit of memory of the list, in bytes.

    Raises:
        ValueError: If it is damaged, compressed, TorchScript, or not written
            by torch.
    """

    def __init__(self, file: BinaryIO, room: int) -> None:
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        self._places: dict[str, tuple[int, int]] = {}
        start, length, count = self._find_directory()
        if count * BYTES_PER_ENTRY + length > room:
            raise MMKDValueError(f'it has {count} entries')
        file.seek(start)
        self._read_directory(file.read(length), count, start)
        names = list(self._places)
        roots = [
            name.removesuffix('data.pkl')
            for name in names
            if name.endswith('/data.pkl') and name.count('/') == 1
        ]
        if len(roots) != 1:
            raise MMKDValueError('it is a zip file that torch did not write')
        self.root = roots[0]

    def place(self, name: str) -> tuple[int, int]:
        """Offset and length of a record.

        Raises:
            ValueError: If it is missing.
        """
        try:
            offset, size = self._places[self.root + name]
        except KeyError:
            raise MMKDValueError(f'it has no record {name[:40]!r}') from None
        self.file.seek(offset)
        signature, *_, name_size, extra_size = LOCAL.unpack(
            self.file.read(LOCAL.size)
        )
        begin = offset + LOCAL.size + name_size + extra_size
        if signature != b'PK\x03\x04' or begin + size > self.size:
            raise MMKDValueError(f'its record {name[:40]!r} is damaged')
        return begin, size

    def __contains__(self, name: str) -> bool:
        return self.root + name in self._places

    def _find_directory(self) -> tuple[int, int, int]:
        """Offset and length of the list of entries, and their number."""
        tail = min(self.size, END.size + 65535)
        self.file.seek(self.size - tail)
        content = self.file.read(tail)
        at = content.rfind(b'PK\x05\x06')
        if at < 0 or at + END.size > tail:
            raise MMKDValueError('the end of the zip file is missing')
        *_, count, length, start, _ = END.unpack_from(content, at)
        locator = self.size - tail + at - LOCATOR_64.size
        if locator >= 0:
            self.file.seek(locator)
            mark, _, end, _ = LOCATOR_64.unpack(
                self.file.read(LOCATOR_64.size)
            )
            if mark == b'PK\x06\x07' and end + END_64.size <= self.size:
                self.file.seek(end)
                found = END_64.unpack(self.file.read(END_64.size))
                if found[0] == b'PK\x06\x06':
                    *_, count, length, start = found
        if start + length > self.size or count * ENTRY.size > length:
            raise MMKDValueError('the list of its entries is damaged')
        return start, length, count

    def _read_directory(self, content: bytes, count: int, end: int) -> None:
        """Read all entries, which must not overlap or repeat."""
        at, spans = 0, []
        for _ in range(count):
            if at + ENTRY.size > len(content):
                raise MMKDValueError('the list of its entries is damaged')
            (
                mark, _, _, flags, method, _, _, _, packed, size,
                name_size, extra_size, comment_size, _, _, _, offset,
            ) = ENTRY.unpack_from(content, at)  # fmt: skip
            at += ENTRY.size
            name = content[at : at + name_size].decode('utf-8')
            extra = content[at + name_size : at + name_size + extra_size]
            at += name_size + extra_size + comment_size
            size, packed, offset = _widen(extra, size, packed, offset)
            if mark != b'PK\x01\x02' or flags & 1 or '\\' in name:
                raise MMKDValueError('the list of its entries is damaged')
            parts = name.lower().split('/')
            if parts[-1] == 'constants.pkl' or 'code' in parts[:-1]:
                raise MMKDValueError(TORCHSCRIPT)
            if method != 0 or size != packed:
                raise MMKDValueError(
                    f'its record {name[:40]!r} is compressed, as torch never '
                    'does'
                )
            if name in self._places:
                raise MMKDValueError(f'it holds {name[:40]!r} twice')
            self._places[name] = (offset, size)
            spans.append((offset, offset + LOCAL.size + name_size + size))
        spans.sort()
        for (_, stop), (begin, _) in zip(spans, [*spans[1:], (end, end)]):
            if stop > begin:
                raise MMKDValueError('its records overlap')


def _widen(extra: bytes, *numbers: int) -> list[int]:
    """Read the 64-bit numbers from the extra field."""
    wide: list[int] = []
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from('<2H', extra, at)
        if kind == 1:
            part = extra[at + 4 : at + 4 + length // 8 * 8]
            wide = list(struct.unpack(f'<{len(part) // 8}Q', part))
        at += 4 + length
    rest = iter(wide)
    return [
        next(rest, number) if number == 0xFFFFFFFF else number
        for number in numbers
    ]
