"""Writing and removing files so that nothing is lost in between."""

import os
import socket
import stat
import threading
import warnings

import pytest
import torch
from mmengine.fileio import put_text
from mmengine.fileio.backends.registry_utils import backends
from mmengine.runner import save_checkpoint

from mmkd_plugin.checkpoints import atomic


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


def test_mmengine_saves_so_where_it_is_told(tmp_path, monkeypatch):
    before = dict(backends)
    file = tmp_path / 'new' / 'a.pth'
    with atomic.atomic_backend():
        with atomic.atomic_backend():
            pass
        assert {**backends, atomic.NAME: 0} == {**before, atomic.NAME: 0}
        save_checkpoint(dict(a=1), str(file), backend_args=atomic.BACKEND_ARGS)
        assert torch.load(file) == dict(a=1)
        text = str(tmp_path / 'a.txt')
        put_text('text', text, backend_args=atomic.BACKEND_ARGS)
        assert (tmp_path / 'a.txt').read_text() == 'text'
        monkeypatch.setattr(os, 'replace', lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            save_checkpoint(
                dict(a=2), str(file), backend_args=atomic.BACKEND_ARGS
            )
    assert torch.load(file) == dict(a=1)
    assert backends == before


@pytest.mark.parametrize('mode', [0o600, 0o644, 0o640, 0o664, 0o400])
def test_mode_stays(tmp_path, mode):
    file = tmp_path / 'a.bin'
    file.write_bytes(b'old')
    file.chmod(mode)
    part = tmp_path / 'a.bin.0.part'  # of a process that was killed
    part.write_bytes(b'')
    part.chmod(0o777)
    atomic.write_bytes(file, b'new')
    assert file.read_bytes() == b'new'
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_new_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        atomic.write_bytes(tmp_path / 'a.bin', b'')
    finally:
        os.umask(before)
    mode = (tmp_path / 'a.bin').stat().st_mode
    assert stat.S_IMODE(mode) == 0o640


def test_nobody_may_read_the_part_of_a_secret(tmp_path, monkeypatch):
    file = tmp_path / 'a.bin'
    file.write_bytes(b'old')
    file.chmod(0o600)
    modes = []
    monkeypatch.setattr(
        os, 'fchmod', lambda fd, mode: modes.append(os.fstat(fd).st_mode)
    )
    atomic.write_bytes(file, b'new')
    assert [stat.S_IMODE(mode) for mode in modes] == [0o600]


@pytest.mark.skipif(os.getuid() != 0, reason='only root gives files away')
def test_owner_stays(tmp_path):
    file = tmp_path / 'a.bin'
    file.write_bytes(b'old')
    os.chown(file, 65534, 65533)
    atomic.write_bytes(file, b'new')
    assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65533)


def test_device_is_written_to():
    before = os.stat('/dev/null')
    atomic.write_bytes('/dev/null', b'new')
    assert os.stat('/dev/null')[:3] == before[:3]


def test_pipe_is_written_to(tmp_path):
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    with pytest.warns(UserWarning, match='Nobody reads the pipe .*pipe: the'):
        atomic.write_bytes(pipe, b'lost')
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    content = bytes(300_000)  # more than a pipe holds
    while not found:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the reader may not be there yet
            atomic.write_bytes(pipe, content)
        reader.join(0.05)
    assert found == [content]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ['pipe']


def test_socket_and_folder_are_not_replaced(tmp_path):
    path = tmp_path / 'socket'
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        for place in (path, tmp_path):
            with pytest.raises(OSError):
                atomic.write_bytes(place, b'')
        assert stat.S_ISSOCK(path.stat().st_mode)
