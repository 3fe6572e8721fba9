import sys

import mmcv_wheel
import pytest
from setup_env import Environment

from tests.helpers.wheel_index import serve


@pytest.fixture(autouse=True)
def no_index(monkeypatch):
    """No test leaves this machine, or finds what it has by chance."""
    monkeypatch.setenv('MMCV_BASE_URL', 'http://127.0.0.1:9')
    for name in ('MMKD_WHEELS', 'PIP_FIND_LINKS'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(mmcv_wheel, 'DOWN', {})


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that is served as the index of both families."""
    folder = tmp_path / 'index'
    folder.mkdir()
    with serve(folder) as address:
        monkeypatch.setenv('MMCV_BASE_URL', address)
        yield folder


@pytest.fixture
def env(tmp_path):
    """An environment whose Python is the one that runs the tests."""
    env = Environment(tmp_path / 'venv', 'onedl')
    env.claim()
    env.lock()
    env.tmp.mkdir()
    env.logs.mkdir()
    env.python.parent.mkdir()
    env.python.symlink_to(sys.executable)
    yield env
    env.lock_file.close()
