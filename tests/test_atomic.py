"""Writing and removing files so that nothing is lost in between."""

import os

import pytest
import torch
from mmengine.fileio import get_file_backend, put_text
from mmengine.runner import save_checkpoint

from mmkd_plugin import atomic


def test_content_is_replaced_and_nothing_left_beside(tmp_path):
    file = tmp_path / 'a.bin'
    atomic.write_bytes(file, b'old')
    atomic.write_bytes(str(file), b'new')
    atomic.write_text(tmp_path / 'b.txt', 'späte')
    assert file.read_bytes() == b'new'
    assert (tmp_path / 'b.txt').read_text(encoding='utf-8') == 'späte'
    assert sorted(os.listdir(tmp_path)) == ['a.bin', 'b.txt']


@pytest.mark.parametrize('step', ['fsync', 'replace'])
def test_failure_leaves_the_old_file(tmp_path, monkeypatch, step):
    def fail(*args):
        raise OSError(28, 'No space left on device')

    file = tmp_path / 'a.bin'
    atomic.write_bytes(file, b'old')
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match='No space'):
        atomic.write_bytes(file, b'new')
    assert file.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['a.bin']


def test_link_stays_a_link(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path / 'file')
    atomic.write_bytes(tmp_path / 'link', b'content')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'file').read_bytes() == b'content'


def test_mmengine_saves_so(tmp_path, monkeypatch):
    assert isinstance(
        get_file_backend(str(tmp_path)), atomic.AtomicLocalBackend
    )
    file = tmp_path / 'new' / 'a.pth'
    save_checkpoint(dict(a=1), str(file))
    assert torch.load(file) == dict(a=1)
    put_text('text', str(tmp_path / 'a.txt'))
    assert (tmp_path / 'a.txt').read_text() == 'text'
    monkeypatch.setattr(os, 'replace', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(dict(a=2), str(file))
    assert torch.load(file) == dict(a=1)


def test_removal_waits(tmp_path):
    files = [tmp_path / name for name in ('a', 'b', 'c')]
    for file in files:
        file.write_text('')
    folder = tmp_path / 'd'
    folder.mkdir()
    backend = atomic.LateRemoval(get_file_backend(str(tmp_path)))
    assert backend.isfile(str(files[0]))
    for file in files[:2]:
        backend.remove(str(file))
    backend.rmtree(str(folder))
    assert all(path.exists() for path in (*files, folder))
    backend.remove_marked(keep={str(files[1])})
    assert [path.exists() for path in (*files, folder)] == [
        False,
        True,
        True,
        False,
    ]
    # What is gone already, and what was kept, is not asked for again.
    backend.remove(str(files[0]))
    backend.remove_marked(keep=())
    assert files[1].exists()
