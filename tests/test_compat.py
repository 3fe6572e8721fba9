"""Versions, and what a checkpoint may hold."""

import pickle

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

import mmkd_plugin
from mmkd_plugin import compat


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran code of a checkpoint')",)


class Lookup:
    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


@pytest.mark.parametrize('content', [Evil(), Lookup()])
def test_code_in_a_checkpoint_is_not_run(tmp_path, content):
    path = tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, meta=content), path)
    for load in (compat.load_from_local, CheckpointLoader.load_checkpoint):
        with pytest.raises((pickle.UnpicklingError, RuntimeError)):
            load(str(path))


def test_log_history_in_a_checkpoint_is_read(tmp_path):
    path = tmp_path / 'history.pth'
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    assert b'getattr' in pickle.dumps(history, 2)
    torch.save(dict(log=history), path)
    kept = torch.serialization.get_safe_globals()
    # Twice: what one load allows must be there for the next.
    for _ in range(2):
        loaded = CheckpointLoader.load_checkpoint(str(path))
    assert loaded['log'].mean() == 1.5
    assert set(torch.serialization.get_safe_globals()) == set(kept)


@pytest.mark.parametrize('version', ['0.9.1', None])
def test_unfit_version_is_named(monkeypatch, version):
    if version is None:
        monkeypatch.setitem(compat.SUPPORTED, 'no_such_package', ('1.0', None))
        with pytest.raises(ImportError, match='needs no_such_package>=1.0'):
            compat.check_versions('no_such_package')
        return
    monkeypatch.setattr('mmengine.__version__', version)
    with pytest.raises(ImportError, match=r'>=0.10.0 but got mmengine 0.9.1'):
        compat.check_versions('mmengine')


def test_public_names_exist():
    for name in mmkd_plugin.__all__:
        assert hasattr(mmkd_plugin, name)
