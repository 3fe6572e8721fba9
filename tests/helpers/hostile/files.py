"""At least 150 files that attack who reads them, by kind."""

import io
import json
import os
import struct
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch

from tests.helpers.hostile.calls import WAYS, targets
from tests.helpers.hostile.writing import (
    Raw,
    build,
    bytes_of,
    call,
    data,
    named,
    pickled,
    save,
    zipped,
)

FEW = ('system', 'eval', 'run_path', 'Path.touch', 'partial', 'MODELS.build')


class World:
    """Where the files go, and what is around the attack in each.

    Args:
        folder (Path): For the files.
        base (dict): A checkpoint that can be resumed.
    """

    def __init__(self, folder, base):
        self.folder = Path(folder)
        self.base = base
        self.proof = str(self.folder / 'proof')
        self.script = str(self.folder / 'script.py')
        Path(self.script).write_text(f'open({self.proof!r}, "w").close()\n')
        self.found = []

    def path(self, kind, name):
        """A new file, noted under its kind."""
        path = self.folder / 'files' / f'{len(self.found):03d}-{name}.pth'
        path.parent.mkdir(exist_ok=True)
        self.found.append((kind, path))
        return path

    def around(self, **changes):
        """The checkpoint, changed at paths such as `meta__cfg`."""
        content = {
            key: dict(value) if type(value) is dict else value
            for key, value in self.base.items()
        }
        for key, value in changes.items():
            *parents, last = key.split('__')
            place = content
            for parent in parents:
                place[parent] = dict(place.get(parent) or {})
                place = place[parent]
            place[last] = value
        return content


def write_all(folder, base):
    """Write all files.

    Args:
        folder (Path): An empty folder.
        base (dict): A checkpoint that can be resumed.

    Returns:
        World: With kind and path of each in `found`.
    """
    world = World(folder, base)
    for write in (calls, builds, arrays, tensors, bombs, shapes, words, runs):
        write(world)
    return world


def calls(w):
    """Calls of all targets, and in all ways of some."""
    for module, name, *args in targets(w.proof, w.script):
        raw = call(module, name, *args)
        save(w.around(meta__x=raw), w.path('reduce', f'{module}-{name}'))
        if name not in FEW or module in ('os', 'nt', '__builtin__'):
            continue
        for way, make in WAYS.items():
            if way != 'reduce':
                raw = make(module, name, *args)
                path = w.path('ways', f'{way}-{name}')
                protocol = 4 if way in ('newobj_ex', 'stack_global') else 2
                save(w.around(meta__x=raw), path, protocol=protocol)
        raw = call(module, name, *args)
        save(w.around(meta__x=raw), w.path('legacy', f'reduce-{name}'), True)
        save({'a.weight': raw}, w.path('reduce', f'weight-{name}'))


def builds(w):
    """States that would change what everybody uses."""
    evil = Raw(named('torch.random', 'seed'))
    for number, (module, name, state) in enumerate(
        [
            ('torch._utils', '_rebuild_tensor_v2',
             (None, {'__defaults__': ()})),
            ('torch._utils', '_rebuild_tensor_v2', {'__wrapped__': evil}),
            ('torch._utils', '_rebuild_parameter', {'x': 1}),
            ('collections', 'OrderedDict', {'__init__': evil}),
            ('collections', 'OrderedDict', (None, {'get': evil})),
            ('torch', 'Size', (None, {'numel': evil})),
            ('torch', 'float32', {'x': 1}),
            ('torch', 'Tensor', (None, {'add': evil})),
            ('torch.nn.parameter', 'Parameter', (None, {'data': 1})),
            ('mmengine.logging.history_buffer', 'HistoryBuffer',
             (None, {'min': evil})),
            ('mmengine.config.config', 'ConfigDict', (None, {'get': evil})),
            ('argparse', 'Namespace', (None, {'__eq__': evil})),
            ('numpy', 'dtype', (3, '<', None, None, None, -1, -1, 0)),
            ('numpy', 'ndarray', (1, (1,), None, False, b'a')),
            ('builtins', 'int', {'x': 1}),
            ('builtins', 'getattr', {'__self__': 1}),
            ('_codecs', 'encode', {'x': 1}),
            ('some.module', 'Thing', {'x': 1}),
        ]
    ):  # fmt: skip
        raw = build(module, name, state)
        save(w.around(meta__x=raw), w.path('build', f'{number}-{name}'))
    new = b')\x81'
    for number, (module, name, state) in enumerate(
        [
            ('argparse', 'Namespace', {'__class__': evil}),
            ('argparse', 'Namespace', {'__dict__': 1}),
            ('types', 'SimpleNamespace', {'__class__': evil}),
            ('mmengine.logging.history_buffer', 'HistoryBuffer',
             {'mean': evil, 'max_length': 1}),
            ('mmengine.config.config', 'Config', ({}, 'x')),
            ('uuid', 'UUID', {'int': 'x'}),
            ('collections', 'OrderedDict',
             {'_metadata': {'': {'version': 'x'}}}),
            ('collections', 'OrderedDict', {'update': evil}),
            ('collections', 'deque', {'x': 1}),
            ('collections', 'Counter', {'get': evil}),
        ]
    ):  # fmt: skip
        raw = Raw(named(module, name) + new + data(state) + b'b')
        save(w.around(meta__x=raw), w.path('build', f'object-{number}-{name}'))


def _dtype(code, state=(3, '<', None, None, None, -1, -1, 0)):
    new = call('numpy', 'dtype', code, False, True).code
    return Raw(new + data(state) + b'b')


def arrays(w):
    """Arrays that would read or write where they may not."""
    pointer = Raw(_dtype('O8', (3, '|', None, None, None, -1, -1, 63)).code)
    start = call('numpy.core.multiarray', '_reconstruct',
                 Raw(named('numpy', 'ndarray')), (0,), b'b').code  # fmt: skip

    def array(shape, dtype, raw, order=False):
        return Raw(start + data((1, shape, dtype, order, raw)) + b'b')

    wide = (3, '|', None, None, None, 99, 1, 0)
    inner = {'a': (_dtype('f8'), 4)}
    cases = dict(
        pointer=array((1,), pointer, b'A' * 8),
        pointer_list=array((10**9,), pointer, [1]),
        short=array((100,), _dtype('f8'), b'A' * 8),
        long=array((1,), _dtype('f8'), b'A' * 80),
        negative=array((-1,), _dtype('f8'), b'A' * 8),
        huge=array((2**40, 2**40), _dtype('f8'), b''),
        empty=array((2**45, 0), _dtype('f8'), b''),
        direct=call('numpy', 'ndarray', (1,), 'O', b'A' * 8),
        text=array((1,), _dtype('f8'), 'Ā' * 8),
        wide=array((1,), _dtype('V1', wide), b'A' * 99),
        names=array((1,), _dtype(
            'V8', (3, '|', None, ('a',), inner, 8, 1, 0)), b'A' * 8),
        inside=array((1,), _dtype(
            'V8', (3, '|', None, ('a',), {'a': (pointer, 0)}, 8, 1, 27)),
            b'A' * 8),
        base=array((1,), _dtype(
            'V8', (3, '|', (pointer, (1,)), None, None, 8, 1, 27)), b'A' * 8),
        unit=array((1,), _dtype(
            'M8', (4, '<', None, None, None, -1, -1, 0,
                   ({}, (b'ns', 0, 1, 1)))), b'A' * 8),
        scalar=call('numpy.core.multiarray', 'scalar', pointer, b'A' * 8),
        scalar_long=call('numpy.core.multiarray', 'scalar', _dtype('f8'),
                         b'A' * 99),
        buffer=call('numpy.core.numeric', '_frombuffer', b'A' * 8, pointer,
                    (1,), 'C'),
        no_state=call('numpy', 'dtype', 'O8', False, True),
    )  # fmt: skip
    for name, raw in cases.items():
        save(w.around(meta__x=raw), w.path('array', name))


def _storage(count=1, kind='FloatStorage', key='0'):
    kind = Raw(named('torch', kind))
    return Raw(data(('storage', kind, key, 'cpu', count)) + b'Q')


def tensors(w):
    """Tensors outside of their storages."""

    def tensor(storage, offset, size, stride, grad=False, hooks=None):
        hooks = hooks or call('collections', 'OrderedDict')
        return call('torch._utils', '_rebuild_tensor_v2', storage, offset,
                    size, stride, grad, hooks)  # fmt: skip

    cases = dict(
        outside=tensor(_storage(), 0, (100,), (1,)),
        offset=tensor(_storage(), 100, (1,), (1,)),
        before=tensor(_storage(), -5, (1,), (1,)),
        stride=tensor(_storage(), 0, (2,), (10**6,)),
        backwards=tensor(_storage(), 0, (2,), (-1,)),
        repeated=tensor(_storage(), 0, (10**12,), (0,)),
        overflow=tensor(_storage(), 0, (2**40, 2**40), (0, 0)),
        ragged=tensor(_storage(), 0, (1, 1), (1,)),
        text=tensor(_storage(), 'a', 'b', 'c'),
        larger=tensor(_storage(10**9), 0, (10**9,), (1,)),
        negative=tensor(_storage(-1), 0, (1,), (1,)),
        retyped=[tensor(_storage(), 0, (1,), (1,)),
                 tensor(_storage(10, 'DoubleStorage'), 0, (10,), (1,))],
        missing=tensor(_storage(key='../../x'), 0, (1,), (1,)),
        hooks=tensor(_storage(), 0, (1,), (1,), False, {1: 2}),
        sparse=call(
            'torch._utils', '_rebuild_sparse_tensor',
            call('torch.serialization', '_get_layout', 'torch.sparse_coo'),
            (tensor(_storage(2, 'LongStorage', '1'), 0, (1, 2), (2, 1)),
             tensor(_storage(), 0, (1,), (1,)), (10**9, 10**9), True)),
        layout=call('torch.serialization', '_get_layout', '__import__'),
        quantized=call(
            'torch._utils', '_rebuild_qtensor', _storage(1, 'QInt8Storage'),
            0, (1,), (1,), (Raw(named('torch', 'per_tensor_affine')), 'a', 0),
            False, call('collections', 'OrderedDict')),
        subclass=call(
            'torch._tensor', '_rebuild_from_type_v2',
            Raw(named('posix', 'system')), Raw(named('torch', 'Tensor')),
            (f'touch {w.proof}',), {}),
        wrapper=call('torch._utils', '_rebuild_wrapper_subclass', 1),
        parameter=call('torch._utils', '_rebuild_parameter', 5, True, ()),
    )  # fmt: skip
    for name, raw in cases.items():
        # Their storages, by number.
        own = dict(meta__a=torch.ones(1), meta__b=torch.zeros(2).long())
        save(w.around(**own, meta__x=raw), w.path('tensor', name))
        if name in ('repeated', 'outside', 'larger'):
            path = w.path('tensor', f'weight-{name}')
            state = {'a': torch.ones(1), 'a.weight': raw}
            save(w.around(state_dict=state), path)


def _doubled(times, open_, close):
    """A container that holds the one before twice."""
    start = b'K\x01r\xff\xff\x00\x00'
    for number in range(times):
        get = struct.pack('<BI', ord('j'), 65535 + number)
        put = struct.pack('<BI', ord('r'), 65536 + number)
        start += b'0' + open_ + get + get + close + put
    return Raw(start)


def bombs(w):
    """Much memory or time for few bytes."""
    big = 10**13
    keys = [k * ((1 << 61) - 1) for k in range(20_000)]
    cases = dict(
        memo=Raw(b'Nr' + struct.pack('<I', 2 * 10**9)),
        put=Raw(b'Np99999999999999999999\n'),
        bytearray=call('builtins', 'bytearray', big),
        bytes=call('builtins', 'bytes', big),
        bytearray8=Raw(b'\x96' + struct.pack('<Q', big)),
        binbytes8=Raw(b'\x8e' + struct.pack('<Q', big)),
        binunicode8=Raw(b'\x8d' + struct.pack('<Q', big)),
        frame=Raw(b'\x95' + struct.pack('<Q', big) + b'N'),
        long4=Raw(b'\x8b' + struct.pack('<i', 2**31 - 1)),
        digits=Raw(b'I' + b'9' * 500_000 + b'\n'),
        long=Raw(b'L' + b'9' * 500_000 + b'L\n'),
        integer=Raw(b'\x8b' + struct.pack('<i', 10**6) + b'\x7f' * 10**6),
        range=call('builtins', 'range', 0, big, 1),
        list_of_range=call('builtins', 'list',
                           call('builtins', 'range', 0, big, 1)),
        deque=call('collections', 'deque', (), 2**63),
        fraction=call('fractions', 'Fraction', '1e999999999'),
        decimal=call('decimal', 'Decimal', '1e999999999999'),
        complex=call('builtins', 'complex', 'x' * 100),
        int_text=call('builtins', 'int', '9' * 5000),
        float_text=call('builtins', 'float', '9' * 5000),
        text_times=call('builtins', 'str', b'a', 'idna'),
        deep_lists=Raw(b'(' * 100_000 + b'l' * 100_000),
        deep_tuples=Raw(b'K\x01' + b'\x85' * 100_000),
        deep_dicts=Raw(b'}K\x01' * 5000 + b'N' + b's' * 5000),
        empty_sets=Raw(b'(' + b'\x8f' * 700_000 + b'l'),
        empty_lists=Raw(b'(' + b']' * 700_000 + b'l'),
        empty_dicts=Raw(b'(' + b'}' * 700_000 + b'l'),
        marks=Raw(b'(' * 700_000 + b'N'),
        memoized=Raw(b'N' + b'\x94' * 700_000),
        doubled_tuples=_doubled(60, b'(', b't'),
        doubled_lists=_doubled(60, b'(', b'l'),
        doubled_key=Raw(b'}' + _doubled(60, b'(', b't').code + b'Ns'),
        doubled_set=Raw(_doubled(60, b'(', b't').code + b'\x85\x91'),
        doubled_config=Raw(b''.join([
            named('mmengine.config.config', 'ConfigDict'),
            data(({},)), b'R'])),
        keys_alike=Raw(data(dict.fromkeys(keys))),
        set_alike=call('builtins', 'set', keys),
        cycle=Raw(b']q\xf0h\xf0a'),
        cycle_dict=Raw(b'}q\xf0N' + b'h\xf0s'),
        copies=Raw(
            b'(' + data(list(range(20_000))) + b'q\xf0'
            + (named('builtins', 'list') + b'(h\xf0tR') * 2000 + b'l'),
        many_tensors=Raw(
            b'(' + named('torch', 'device') + b'q\xf0'
            + b'h\xf0X\x03\x00\x00\x00cpu\x85R' * 200_000 + b'l'),
        counter=call('collections', 'Counter', 10**9),
        units=call('numpy.core.multiarray', 'scalar',
                   _dtype('U99999999', (3, '<', None, None, None,
                                        399999996, 4, 8)), b''),
        path=call('pathlib', 'PosixPath', *['a'] * 5000),
    )  # fmt: skip
    for name, raw in cases.items():
        protocol = 4 if name == 'frame' else 2
        save(w.around(meta__x=raw), w.path('bomb', name), protocol=protocol)


def _plain_zip(w):
    return bytes_of(w.around())


def shapes(w):
    """Files of other kinds, and containers that are damaged or lie."""
    whole = _plain_zip(w)
    evil = call('posix', 'system', f'touch {w.proof}').code
    for share in (0, 1, 3, 10, 50, 90, 99):
        cut = whole[: len(whole) * share // 100]
        w.path('damaged', f'cut-{share}').write_bytes(cut)
    for step in (7, 31, 101, 997):
        bad = bytearray(whole)
        bad[::step] = b'\x00' * len(bad[::step])
        w.path('damaged', f'zeros-{step}').write_bytes(bad)
    legacy = bytes_of(w.around(), legacy=True)
    for share in (10, 50, 99):
        cut = legacy[: len(legacy) * share // 100]
        w.path('damaged', f'legacy-cut-{share}').write_bytes(cut)
    head = legacy[:14]
    for name, rest in dict(
        twice=evil + b'.',
        tail=b'\x80\x02M\xe9\x03.' + b'\x80\x02' + evil + b'.',
        keys=b'\x80\x02M\xe9\x03.\x80\x02}.\x80\x02N.\x80\x02](X\x01\x00\x00'
        b'\x001e.',
        view=b'\x80\x02M\xe9\x03.\x80\x02}.\x80\x02('
        b'X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x001'
        b'X\x03\x00\x00\x00cpuM\xff\xff(X\x01\x00\x00\x001K\x00K\x01ttQ.',
    ).items():
        w.path('legacy', name).write_bytes(head + rest)
    w.path('other', 'pickle').write_bytes(b'\x80\x02' + evil + b'.')
    w.path('other', 'text').write_text('<!doctype html><title>404</title>')
    w.path('other', 'gzip').write_bytes(b'\x1f\x8b' + b'\0' * 100)
    w.path('other', 'noise').write_bytes(bytes(range(256)) * 40)
    for name, kind in (
        ('fifo', tarfile.FIFOTYPE),
        ('link', tarfile.SYMTYPE),
        ('device', tarfile.CHRTYPE),
    ):
        with tarfile.open(w.path('other', f'tar-{name}'), 'w') as tar:
            member = tarfile.TarInfo('storages')
            member.type, member.linkname = kind, '/etc/passwd'
            tar.addfile(member)
    with tarfile.open(w.path('other', 'tar'), 'w') as tar:
        for name in ('storages', 'tensors', 'pickle'):
            member = tarfile.TarInfo(name)
            code = b'\x80\x02' + evil + b'.'
            member.size = len(code)
            tar.addfile(member, io.BytesIO(code))
    script = torch.jit.script(torch.nn.Linear(2, 2))
    script.save(w.path('torchscript', 'module'))
    code = b'\x80\x02N.'
    for name, records in dict(
        constants=[('data.pkl', code), ('constants.pkl', code)],
        upper=[('data.pkl', code), ('CONSTANTS.PKL', code)],
        code=[('data.pkl', code), ('code/__torch__.py', b'x')],
    ).items():
        zipped(w.path('torchscript', name), records)
    one = [('data.pkl', code)]
    zipped(w.path('zip', 'packed'), one, method=zipfile.ZIP_DEFLATED)
    zeros = [('data.pkl', b'\x80\x02' + b'N0' * 10**6 + b'N.')]
    zipped(w.path('zip', 'bomb'), zeros, method=zipfile.ZIP_LZMA)
    zipped(w.path('zip', 'no-pickle'), [('version', '3')])
    zipped(w.path('zip', 'deep'), one, root='a/b')
    zipped(w.path('zip', 'many'), [(f'x{n}', b'') for n in range(3000)])
    with zipfile.ZipFile(w.path('zip', 'two-roots'), 'w') as file:
        file.writestr('a/data.pkl', code)
        file.writestr('b/data.pkl', b'\x80\x02' + evil + b'.')
    path = w.path('zip', 'twice')
    zipped(path, [('data.pkl', code), ('data.pkm', b'\x80\x02' + evil + b'.')])
    path.write_bytes(path.read_bytes().replace(b'.pkm', b'.pkl'))
    path = w.path('zip', 'overlap')
    zipped(path, [('data.pkl', code), ('data/0', b'1234')])
    body = bytearray(path.read_bytes())
    at = body.rfind(b'PK\x01\x02')
    body[at + 42 : at + 46] = struct.pack('<I', 0)
    path.write_bytes(body)
    path = w.path('zip', 'count')
    zipped(path, one)
    body = bytearray(path.read_bytes())
    body[-12:-10] = b'\xff\xff'
    path.write_bytes(body)
    path = w.path('zip', 'size')
    zipped(path, one)
    body = bytearray(path.read_bytes())
    at = body.rfind(b'PK\x01\x02')
    body[at + 20 : at + 28] = struct.pack('<2I', 2**31, 2**31)
    path.write_bytes(body)
    for name, order in (('order', 'middle'), ('order-long', 'x' * 10**6)):
        zipped(w.path('zip', name), [*one, ('byteorder', order)])
    _safetensors(w)


def _safetensors(w):
    tensor = dict(dtype='F32', shape=[1], data_offsets=[0, 4])
    cases = dict(
        long=(b'{}', 2**40, b''),
        longer=(b'{}', 1000, b''),
        outside=(json.dumps(dict(a=dict(tensor, shape=[9]))), None, b'abcd'),
        rest=(json.dumps(dict(a=tensor)), None, b'abcdefgh'),
        cut=(json.dumps(dict(a=tensor)), None, b'a'),
        overlap=(json.dumps(dict(a=tensor, b=tensor)), None, b'abcd'),
        dtype=(json.dumps(dict(a=dict(tensor, dtype='X'))), None, b'abcd'),
        shape=(json.dumps(dict(a=dict(tensor, shape=[-1]))), None, b'abcd'),
        huge=(
            json.dumps(dict(a=dict(tensor, shape=[2**40, 2**40]))),
            None,
            b'abcd',
        ),
        empty=(
            json.dumps(
                dict(a=dict(tensor, shape=[0, 2**60], data_offsets=[0, 0]))
            ),
            None,
            b'',
        ),
        deep=(b'{"a":' + b'[' * 100_000 + b']' * 100_000 + b'}', None, b''),
        wide=(b'{"a":[' + b'[],' * 500_000 + b'[]]}', None, b''),
        twice=(b'{"a":1,"a":2}', None, b''),
        list=(b'{"a":[1]}', None, b''),
        text=(b'{nothing', None, b''),
        number=(b'{"a":' + b'9' * 100_000 + b'}', None, b''),
    )
    for name, (header, length, rest) in cases.items():
        header = header.encode() if isinstance(header, str) else header
        length = len(header) if length is None else length
        content = struct.pack('<Q', length) + header + rest
        w.path('safetensors', name).write_bytes(content)


def words(w):
    """What a file says of itself, to be run, built, imported or written."""
    touch = f'touch {w.proof}'
    code = f'import os\nos.system({touch!r})\n'
    model = f"model = dict(type='os.system', command={touch!r})\n"
    imports = "custom_imports = dict(imports=['antigravity'])\n"
    name = 'x_20260101_000000'
    cases = dict(
        config=dict(meta__config=code),
        config_long=dict(meta__config='x = 1\n' * 10**5),
        config_base=dict(meta__config=f'_base_ = {w.script!r}'),
        config_none=dict(meta__config=None),
        cfg=dict(meta__cfg=model, meta__experiment_name=name),
        cfg_code=dict(meta__cfg=code, meta__experiment_name=name),
        cfg_imports=dict(
            meta__cfg=imports + model, meta__experiment_name=name
        ),
        cfg_dict=dict(meta__cfg=dict(model=dict(type='os.system'))),
        name_up=dict(meta__experiment_name=f'../../../{name}'),
        name_line=dict(meta__experiment_name=f'a\nb{name}'),
        name_long=dict(meta__experiment_name='x' * 10**7 + name),
        name_zero=dict(meta__experiment_name=f'\0{name}'),
        time=dict(meta__time=f'{w.proof}'),
        meta_list=dict(meta=[1]),
        meta_text=dict(meta='x'),
        classes=dict(meta__dataset_meta=dict(classes=10**9)),
        classes_range=dict(
            meta__dataset_meta=dict(
                classes=call('builtins', 'range', 0, 10**12, 1)
            )
        ),
        classes_objects=dict(
            meta__dataset_meta=dict(classes=[call('my.module', 'Thing')])
        ),
        state_list=dict(state_dict=[1]),
        state_nested=dict(state_dict=dict(a=dict(b=torch.ones(1)))),
        state_numbers=dict(state_dict={1: torch.ones(1)}),
        state_long=dict(state_dict={'x' * 10**6: torch.ones(1)}),
        state_object=dict(state_dict=dict(a=call('my.module', 'Thing'))),
        state_none=dict(state_dict=None),
        state_sparse=dict(state_dict=dict(a=torch.eye(2).to_sparse())),
        state_meta=dict(state_dict=dict(a=torch.ones(1, device='meta'))),
        state_ordered=dict(state_dict=OrderedDict()),
    )
    for name, changes in cases.items():
        save(w.around(**changes), w.path('words', name))
    save(torch.ones(2), w.path('words', 'tensor'))
    save([torch.ones(2)], w.path('words', 'list'))
    save('state_dict', w.path('words', 'text'))


def runs(w):
    """Parts of a run that resuming would trip over, or remove files by."""
    precious = w.folder / 'precious'
    precious.mkdir()
    (precious / 'file').write_text('keep me')
    (w.folder / 'precious.pth').write_text('keep me')
    thing = call('my.module', 'Thing')
    info = 'message_hub__runtime_info'
    cases = dict(
        best_folder={f'{info}__best_ckpt': str(precious)},
        best_file={f'{info}__best_ckpt': str(w.folder / 'precious.pth')},
        best_up={f'{info}__best_ckpt': '../precious.pth'},
        best_score={f'{info}__best_score': 'high'},
        last={f'{info}__last_ckpt': str(w.folder / 'precious.pth')},
        kept={f'{info}__keep_ckpt_ids': ['/../../../precious', 1]},
        kept_object={f'{info}__keep_ckpt_ids': thing},
        hub_none=dict(message_hub=None),
        hub_list=dict(message_hub=[1]),
        hub_object=dict(message_hub=thing),
        hub_scalars=dict(message_hub__log_scalars=dict(loss=thing)),
        hub_scalars_text=dict(message_hub__log_scalars='x'),
        hub_keys=dict(message_hub__resumed_keys=[1]),
        optimizer_none=dict(optimizer=None),
        optimizer_text=dict(optimizer='x'),
        optimizer_object=dict(optimizer=thing),
        optimizer_state=dict(optimizer__state={0: thing}),
        optimizer_groups=dict(optimizer__param_groups=[thing]),
        schedulers=dict(param_schedulers=[thing]),
        schedulers_text=dict(param_schedulers='x'),
        epoch_text=dict(meta__epoch='1'),
        epoch_object=dict(meta__epoch=thing),
        epoch_huge=dict(meta__epoch=10**300),
        epoch_below=dict(meta__epoch=-1),
        iter_none=dict(meta__iter=None),
        seed_text=dict(meta__seed='x'),
        seed_below=dict(meta__seed=-5),
        seed_huge=dict(meta__seed=10**30),
        exact=dict(exact_resume=thing),
        exact_text=dict(exact_resume=dict(batches_seen='x')),
    )
    for name, changes in cases.items():
        save(w.around(**changes), w.path('run', name))
    assert os.path.isdir(precious)
    pickled(w.path('run', 'nothing'), b'N')
