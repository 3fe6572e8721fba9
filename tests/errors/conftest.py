import pytest

from tests.errors.commands import World, save_teachers


@pytest.fixture(scope='session')
def teachers(tmp_path_factory):
    folder = tmp_path_factory.mktemp('teachers')
    save_teachers(folder)
    return folder


@pytest.fixture
def world(tmp_path, monkeypatch, teachers):
    return World(tmp_path, monkeypatch, teachers)
