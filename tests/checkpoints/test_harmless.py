"""What is read as itself, and what becomes data without behaviour."""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import subprocess
import sys
import types
import uuid
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from mmkd_plugin.checkpoints.reading import read_checkpoint
from mmkd_plugin.checkpoints.stand_in import StandIn, stand_ins
from mmkd_plugin.checkpoints.unpickling import load_from_local, safe_loading

UTC = datetime.timezone.utc


class Colour(enum.Enum):
    RED = 1


@dataclass
class Place:
    x: int = 1


class Slots:
    __slots__ = ('a',)

    def __init__(self):
        self.a = 1


class Listed(list):
    pass


Pair = collections.namedtuple('Pair', 'left right')
Structure = [('a', 'f4'), ('b', 'U3'), ('c', 'i2', (2,))]
SAME = dict(
    none=None, truth=True, integer=3, large=10**30, number=0.5, nan=1e400,
    text='ä', raw=b'ab', array_of_bytes=bytearray(b'ab'), complex=1j,
    dots=..., tuple=(1, (2,)), list=[1, [2]], set={1}, frozen=frozenset([1]),
    dict=dict(a=1), range=range(3), slice=slice(1, 2), type=int,
    path=pathlib.Path('/a/b'), windows=pathlib.PureWindowsPath('c:/a'),
    pure=pathlib.PurePosixPath('a'),
    date=datetime.date(2026, 1, 2), time=datetime.time(1, 2, 3, 4),
    datetime=datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
    aware=datetime.datetime(2026, 1, 2, tzinfo=UTC),
    duration=datetime.timedelta(1, 2, 3), zone=UTC,
    decimal=decimal.Decimal('1.50'), fraction=fractions.Fraction(1, 3),
    uuid=uuid.UUID(int=5), ordered=collections.OrderedDict(b=1, a=2),
    default=collections.defaultdict(list, a=[1]),
    counter=collections.Counter('aab'), deque=collections.deque([1], 3),
    namespace=argparse.Namespace(a=1), simple=types.SimpleNamespace(a=1),
    config_dict=ConfigDict(a=dict(b=1)), config=Config(dict(a=dict(b=1))),
    version=torch.torch_version.TorchVersion('2.1.0'),
    size=torch.Size([1, 2]), device=torch.device('cuda:1'),
    dtype=torch.bfloat16, layout=torch.sparse_coo,
    qscheme=torch.per_tensor_affine,
    scalar=np.float32(1.5), boolean=np.bool_(True), np_text=np.str_('ab'),
    np_time=np.datetime64('2026-01-02'), np_dtype=np.dtype('>i4'),
    np_structure=np.dtype(Structure), random=np.random.get_state(),
)  # fmt: skip
ARRAYS = dict(
    integers=np.arange(3), columns=np.asfortranarray(np.ones((2, 3))),
    truths=np.array([True]), letters=np.array(['ab', 'c']),
    bytes=np.array([b'ab']), times=np.array(['2026-01-02'], 'M8[D]'),
    spans=np.array([5], 'm8[25us]'), record=np.zeros(2, Structure),
    void=np.zeros(1, 'V5'), half=np.ones(2, 'f2'), point=np.array(3.0),
    objects=np.array([1, 'a', None], object), none=np.zeros((0, 4)),
    complex=np.ones(1, 'c16'),
)  # fmt: skip
TENSORS = dict(
    plain=torch.arange(6.0).reshape(2, 3), view=torch.arange(6)[::2],
    turned=torch.arange(6).reshape(2, 3).T, empty=torch.zeros(0, 4),
    expanded=torch.ones(1).expand(5), truth=torch.tensor([True]),
    parameter=torch.nn.Parameter(torch.ones(2)),
    frozen=torch.nn.Parameter(torch.ones(2), False),
    conjugate=torch.tensor([1 + 2j]).conj(), half=torch.ones(2).half(),
    coo=torch.eye(3).to_sparse(), csr=torch.eye(3).to_sparse_csr(),
    quantized=torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    generator=torch.Generator().get_state(),
)  # fmt: skip
for name in ('float8_e4m3fn', 'float8_e5m2', 'uint16', 'uint32', 'uint64'):
    if hasattr(torch, name):
        TENSORS[name] = torch.ones(2).to(getattr(torch, name))
STAND_INS = dict(
    enum=Colour.RED, dataclass=Place(), named_tuple=Pair(1, 2), slots=Slots(),
    listed=Listed([1, 2]), function=print,
    partial=functools.partial(int, '1'), error=ValueError('x'),
    module=torch.nn.Linear(1, 1), matrix=np.matrix([[1]]),
    generator=np.random.default_rng(0), kind=Place,
    lookup=collections.defaultdict(Place, a=1), signal=torch.nn.ReLU,
)  # fmt: skip
FORMATS = [(False, 2), (False, 5), (True, 2), (True, 4)]


def test_number_of_kinds():
    assert len(SAME) + len(ARRAYS) + len(TENSORS) + len(STAND_INS) >= 90


def reread(value, folder, legacy=False, protocol=2):
    path = folder / 'a.pth'
    torch.save(
        dict(state_dict=dict(w=torch.ones(1)), meta=dict(x=value)),
        path,
        _use_new_zipfile_serialization=not legacy,
        pickle_protocol=protocol,
    )
    return load_from_local(path)['meta']['x']


def check_same(found, value):
    assert type(found) is type(value)
    if isinstance(value, torch.Tensor):
        assert found.dtype == value.dtype and found.layout == value.layout
        assert found.shape == value.shape
        assert found.requires_grad == value.requires_grad
        if value.layout is torch.strided:
            assert found.stride() == value.stride()
        assert repr(found) == repr(value)
    elif isinstance(value, np.ndarray):
        assert found.dtype == value.dtype and found.shape == value.shape
        assert repr(found) == repr(value)
        assert found.flags['F_CONTIGUOUS'] == value.flags['F_CONTIGUOUS']
        assert found.dtype.hasobject or found.flags.writeable
    else:
        assert repr(found) == repr(value)


@pytest.mark.parametrize('legacy, protocol', FORMATS)
def test_values_are_read_as_themselves(tmp_path, legacy, protocol):
    values = {
        f'{kind}-{key}': value
        for kind, group in dict(s=SAME, a=ARRAYS, t=TENSORS).items()
        for key, value in group.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warnings.filterwarnings('ignore', 'Sparse')
        found = reread(values, tmp_path, legacy, protocol)
    assert found.keys() == values.keys()
    for key, value in values.items():
        check_same(found[key], value)


def test_history_is_read(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    found = reread(history, tmp_path)
    assert found.mean() == 1.5
    found.update(3.0)
    assert found.max() == 3.0


@pytest.mark.parametrize('legacy, protocol', FORMATS)
@pytest.mark.parametrize('name', STAND_INS)
def test_unknown_becomes_data(tmp_path, name, legacy, protocol):
    value = STAND_INS[name]
    with pytest.warns(UserWarning, match='classes that are not known'):
        found = reread([value], tmp_path, legacy, protocol)[0]
    assert isinstance(found, StandIn)
    assert not callable(found)


def test_stand_in_keeps_the_values(tmp_path):
    with pytest.warns(UserWarning, match='Colour.*test_harm.*Pair'):
        found = reread(
            dict(a=Colour.RED, b=[Place(5)], c=Pair(1, 2), d=Listed([3])),
            tmp_path,
        )
    assert found['a'].args == (1,)
    assert found['b'][0].state == dict(x=5)
    assert found['c'].args == (1, 2)
    assert found['d'].items == [3]
    assert [name.rsplit('.')[-1] for _, name in stand_ins(found)] == [
        'Colour',
        'Place',
        'Pair',
        'Listed',
    ]
    assert stand_ins(found)[1][0] == 'b.0'


def test_stand_in_is_saved_as_plain_data(tmp_path):
    with pytest.warns(UserWarning):
        found = reread(Place(5), tmp_path)
    torch.save(dict(x=found), tmp_path / 'b.pth')
    again = torch.load(tmp_path / 'b.pth', weights_only=True)['x']
    assert again['name'].endswith('test_harmless.Place')
    assert again['state'] == dict(x=5)


@pytest.mark.slow
def test_class_of_a_stand_in_is_not_imported(tmp_path):
    code = (
        'import sys, torch\n'
        'from tests.checkpoints.test_harmless import Place\n'
        f'torch.save(dict(state_dict=dict(w=torch.ones(1)), meta=Place()), '
        f'{str(tmp_path / "a.pth")!r})\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
    code = (
        'import sys\n'
        'from mmkd_plugin.checkpoints.unpickling import load_from_local\n'
        f'load_from_local({str(tmp_path / "a.pth")!r})\n'
        "assert 'tests.checkpoints.test_harmless' not in sys.modules\n"
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_same_through_mmengine_and_for_a_teacher(tmp_path):
    path = str(tmp_path / 'a.pth')
    meta = dict(a=pathlib.Path('/a'), b=Colour.RED, config='import os')
    torch.save(dict(state_dict=dict(w=torch.ones(1)), meta=meta), path)
    with pytest.warns(UserWarning, match='not known'), safe_loading():
        found = CheckpointLoader.load_checkpoint(path, 'cpu')['meta']
    assert found['a'] == pathlib.Path('/a')
    assert found['b'].args == (1,)
    assert 'config' not in found
    with pytest.warns(UserWarning, match='not known'):
        assert read_checkpoint(path)[1]['b'].args == (1,)
    with pytest.warns(UserWarning, match='is run'), safe_loading(trust=True):
        found = CheckpointLoader.load_checkpoint(path, 'cpu')['meta']
    assert found['b'] is Colour.RED and 'config' not in found


def test_tied_weights_stay_tied_and_move(tmp_path):
    weight = torch.ones(4)
    torch.save(dict(a=weight, b=weight[:2]), tmp_path / 'a.pth')
    found = load_from_local(tmp_path / 'a.pth')
    found['a'][0] = 5
    assert found['b'][0] == 5
    moved = load_from_local(tmp_path / 'a.pth', 'meta')
    assert moved['a'].device.type == 'meta'
    same = load_from_local(tmp_path / 'a.pth', lambda storage, place: None)
    assert torch.equal(same['a'], weight)
