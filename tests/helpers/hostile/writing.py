"""Writing pickles by hand, inside of files that torch reads."""

import io
import pickle
import struct
import zipfile
from types import SimpleNamespace

import torch


class Raw:
    """Opcodes to be written as they are."""

    def __init__(self, code):
        self.code = code


class _Pickler(pickle._Pickler):
    def save(self, obj, save_persistent_id=True):
        if type(obj) is Raw:
            self.write(obj.code)
        else:
            super().save(obj, save_persistent_id)


def save(content, path, legacy=False, protocol=2):
    """As `torch.save`, with opcodes in the content.

    Without memo, so that opcodes may use places of their own.
    """
    torch.save(
        content,
        path,
        pickle_module=SimpleNamespace(
            Pickler=_Pickler, dump=pickle.dump, __name__='pickle'
        ),
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=not legacy,
    )


def data(value):
    """Opcodes of plain data."""
    if isinstance(value, Raw):
        return value.code
    if isinstance(value, tuple):
        return b'(' + b''.join(map(data, value)) + b't'
    if isinstance(value, list):
        return b'](' + b''.join(map(data, value)) + b'e'
    if isinstance(value, dict):
        return (
            b'}('
            + b''.join(data(k) + data(v) for k, v in value.items())
            + b'u'
        )
    # Protocol, memo and stop are taken off.
    code = pickle.dumps(value, 2)
    if isinstance(value, str):
        raw = value.encode()
        return b'X' + struct.pack('<I', len(raw)) + raw
    if isinstance(value, bytes):
        return b'B' + struct.pack('<I', len(value)) + value
    return code[2:-1]


def named(module, name):
    """Opcodes of a class or function by its name."""
    return f'c{module}\n{name}\n'.encode()


def call(module, name, *args):
    """Opcodes of a call."""
    return Raw(named(module, name) + data(args) + b'R')


def build(module, name, state):
    """Opcodes that set the state of what is named."""
    return Raw(named(module, name) + data(state) + b'b')


def zipped(path, records, root='archive', method=zipfile.ZIP_STORED):
    """Write a zip file as torch does, or nearly."""
    with zipfile.ZipFile(path, 'w', method) as file:
        for name, content in records:
            file.writestr(f'{root}/{name}', content)


def pickled(path, code):
    """Write a zip file of torch of one pickle, given in opcodes."""
    zipped(
        path,
        [
            ('data.pkl', b'\x80\x02' + code + b'.'),
            ('byteorder', 'little'),
            ('version', '3\n'),
        ],
    )


def bytes_of(content, **kwargs):
    """What `save` would write."""
    buffer = io.BytesIO()
    save(content, buffer, **kwargs)
    return buffer.getvalue()
