"""The format of a checkpoint file, by its first bytes and not by its name."""

import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path

from ..exceptions import MMKDFileNotFoundError, MMKDValueError

# A pickle of torch's magic number, the start of every file of torch < 1.6.
LEGACY = re.compile(
    rb'\x80[\x02-\x05](\x95.{8})?\x8a\x0a'
    + re.escape(0x1950A86A20F9469CFC6C.to_bytes(10, 'little')),
    re.DOTALL,
)
ZIP = b'PK\x03\x04'
# How other files begin, and what to call them.
OTHERS = (
    (rb'$', 'it is empty'),
    (rb'(?s).{257}ustar', 'it is a tar archive'),
    (rb'\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd', 'it is compressed'),
    (rb'\x89HDF', 'it is an HDF5 file'),
    (rb'\x93NUMPY', 'it is an array of NumPy'),
    (rb'\s*<(?i:!doctype|html)', 'it is a web page'),
    (rb'\x80[\x02-\x05]', 'it is a pickle that torch did not write'),
    (rb'', 'it is no file of torch.save and no safetensors file'),
)


@contextmanager
def open_checkpoint(path: Path, name: str, advice: str = 'the path'):
    """Open a regular file, without opening a pipe or device.

    Args:
        path: The file.
        name: What to call it in a message.
        advice: What to give instead, for the message.

    Yields:
        BinaryIO: The file, at its beginning.

    Raises:
        FileNotFoundError: If it is missing, or no regular file.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise
        mode = 0
    if not stat.S_ISREG(mode):
        found = 'was not found'
        if stat.S_ISDIR(mode):
            found = 'is a folder'
        elif mode:
            found = 'is a pipe, device or socket'
        raise MMKDFileNotFoundError(
            f'{name} {found}: give {advice} of an existing file.'
        )
    with open(path, 'rb') as file:
        yield file


def kind_of(file) -> str:
    """Detect the format of a file.

    Args:
        file (BinaryIO): At its beginning; the position is kept.

    Returns:
        ``'zip'``, ``'legacy'`` or ``'safetensors'``.

    Raises:
        ValueError: If it is anything else.
    """
    head = file.read(512)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if head.startswith(ZIP):
        return 'zip'
    if LEGACY.match(head):
        return 'legacy'
    length = int.from_bytes(head[:8], 'little')
    if head[8:9] == b'{' and 2 <= length <= size - 8:
        return 'safetensors'
    for pattern, what in OTHERS:
        if re.match(pattern, head):
            raise MMKDValueError(what)
    raise AssertionError('the last pattern matches all')
