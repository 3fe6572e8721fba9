"""Reading a checkpoint and comparing it with a model."""

import pickle
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from mmkd_plugin.checkpoints import reading as C
from mmkd_plugin.checkpoints.unpickling import (
    UnsafeFileError,
    load_from_local,
    safe_loading,
)
from tests.helpers import tiny


@pytest.fixture(scope='module')
def model():
    return tiny.build_detector(7)


@pytest.fixture
def saved(tmp_path, model):
    path = tmp_path / 't.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


def load(model, path, **kwargs):
    state, _ = C.read_checkpoint(str(path), **kwargs)
    C.load_strictly(model, state, str(path))


def spoil(model, path, **changes):
    state = model.state_dict()
    for key, value in changes.items():
        key = key.replace('__', '.')
        if value is None:
            del state[key]
        else:
            state[key] = value
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            dict(backbone__conv1__weight=None),
            r'1 missing \(backbone.conv1.weight\).*of another depth',
        ),
        (dict(extra=torch.zeros(1)), r'1 unexpected \(extra\).*trained with'),
        (
            dict(roi_head__bbox_head__fc_cls__bias=torch.zeros(81)),
            r'fc_cls.bias \(81,\) instead of \(4,\).*num_classes',
        ),
    ],
)
def test_half_loaded_model_is_refused(tmp_path, model, changes, message):
    path = spoil(model, tmp_path / 'bad.pth', **changes)
    with pytest.raises(ValueError, match=message):
        load(model, path)


def test_only_the_first_names_are_shown(tmp_path, model):
    changes = {name: torch.zeros(1) for name in 'abcde'}
    path = spoil(model, tmp_path / 'bad.pth', **changes)
    with pytest.raises(ValueError, match=r'5 unexpected \(a, b, c, ...\)'):
        load(model, path)


@pytest.mark.parametrize('prefix', ['architecture.teacher.', 'student.'])
def test_prefix_of_a_wrapper_is_offered(tmp_path, model, prefix):
    state = {prefix + k: v for k, v in model.state_dict().items()}
    path = tmp_path / 'wrapped.pth'
    torch.save({**state, 'connector.weight': torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=f"set `prefix='{prefix}'`"):
        load(model, path)
    load(tiny.build_detector(), path, prefix=prefix)
    with pytest.raises(ValueError, match="begins with the `prefix` 'x.'"):
        load(model, path, prefix='x.')


def test_names_of_a_distributed_model_are_unwrapped(tmp_path, model):
    path = tmp_path / 'ddp.pth'
    state = model.state_dict()
    torch.save({f'module.{key}': state[key] for key in state}, path)
    other = tiny.build_detector()
    load(other, path)
    assert torch.equal(
        other.backbone.conv1.weight, state['backbone.conv1.weight']
    )


def test_safetensors(tmp_path, model):
    path = tmp_path / 't.safetensors'
    save_file(dict(model.state_dict()), path)
    other = tiny.build_detector()
    load(other, path)
    assert torch.equal(
        other.backbone.conv1.weight, model.backbone.conv1.weight
    )


def test_missing_and_damaged_files(tmp_path, saved):
    with pytest.raises(FileNotFoundError, match='no.pth'):
        C.read_checkpoint(str(tmp_path / 'no.pth'))
    text = tmp_path / 'text.pth'
    text.write_text('hello')
    cut = tmp_path / 'cut.pth'
    cut.write_bytes(saved.read_bytes()[:5000])
    empty = tmp_path / 'empty.pth'
    empty.touch()
    for path in (text, cut, empty):
        with pytest.raises(ValueError, match='damaged or no checkpoint'):
            C.read_checkpoint(str(path))
    for content in (dict(state_dict=dict(a=1)), {}, [torch.ones(1)]):
        torch.save(content, text)
        with pytest.raises(ValueError, match='holds no state dict'):
            C.read_checkpoint(str(text))


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


class Lookup:
    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


class Encode:
    def __reduce__(self):
        import _codecs

        return _codecs.encode, ('a', 'rot13')


@pytest.mark.parametrize('legacy', [False, True])
def test_code_in_a_checkpoint_is_not_run(tmp_path, legacy):
    path, proof = tmp_path / 'evil.pth', tmp_path / 'ran'
    torch.save(
        dict(state_dict=dict(a=torch.ones(1)), meta=Evil(proof)),
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(ValueError, match=r'holds \S*pathlib\S*.*`trust_ch'):
        C.read_checkpoint(str(path))
    # The same for `load_from` and `resume`, which MMEngine reads.
    with (
        safe_loading(),
        pytest.raises(UnsafeFileError, match='or --trust-checkpoint'),
    ):
        CheckpointLoader.load_checkpoint(str(path))
    assert not proof.exists()
    with pytest.warns(UserWarning, match='any code that it holds is run'):
        state, _ = C.read_checkpoint(str(path), trust_checkpoint=True)
    assert state.keys() == {'a'}
    assert proof.exists()


@pytest.mark.parametrize('content', [Lookup(), Encode()])
def test_functions_are_served_for_their_purpose_only(tmp_path, content):
    path = tmp_path / 'lookup.pth'
    torch.save(dict(state_dict=dict(a=torch.ones(1)), x=content), path)
    with pytest.raises(ValueError, match='was refused: it'):
        C.read_checkpoint(str(path))


@pytest.mark.parametrize('legacy', [False, True])
def test_what_openmmlab_saves_is_read(tmp_path, legacy):
    import numpy as np

    history = HistoryBuffer([1.0, 2.0], [1, 1])
    assert b'getattr' in pickle.dumps(history, 2)
    content = dict(
        state_dict=dict(
            a=torch.ones(2, dtype=torch.float16),
            b=torch.nn.Parameter(torch.ones(1)),
        ),
        meta=dict(
            classes=('x', 'y'),
            palette=[(1, 2, 3)],
            cfg=ConfigDict(a=1),
            best=np.float64(0.5),
            counts=np.arange(3),
            flag=np.bool_(True),
            small=np.float32(1),
        ),
        message_hub=dict(log_scalars=dict(loss=history)),
    )
    path = tmp_path / 'all.pth'
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with safe_loading():
        loaded = CheckpointLoader.load_checkpoint(str(path), 'cpu')
    assert loaded['message_hub']['log_scalars']['loss'].mean() == 1.5
    assert loaded['meta']['counts'].tolist() == [0, 1, 2]
    assert loaded['meta']['cfg'].a == 1
    state, meta = C.read_checkpoint(str(path))
    assert state['a'].dtype == torch.float16
    assert meta['classes'] == ('x', 'y')


@pytest.mark.parametrize('legacy', [False, True])
def test_options_of_a_script_are_read_but_not_code_in_them(tmp_path, legacy):
    path, proof = tmp_path / 'options.pth', tmp_path / 'ran'
    for options in (Namespace(steps=[150, 180]), Namespace(evil=Evil(proof))):
        torch.save(
            dict(model=dict(a=torch.ones(1)), opt=options),
            path,
            _use_new_zipfile_serialization=not legacy,
        )
        if 'steps' in options:
            assert load_from_local(path)['opt'] == options
        else:
            with pytest.raises(UnsafeFileError, match='pathlib'):
                load_from_local(path)
    assert not proof.exists()
