"""Fetching files from a server that is slow, cut off, forgetful or lying."""

import hashlib
import http.server
import re
import threading
import time
from contextlib import suppress
from multiprocessing import get_context

import pytest
import torch

from mmkd_plugin.checkpoints import download as D
from mmkd_plugin.checkpoints.reading import read_checkpoint
from mmkd_plugin.cli.errors import explain

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`, as `manner` says, and notes what it was asked."""

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.files, self.asked = {}, []
        self.cut, self.ranges, self.wait = None, True, 0
        self.tag = True

    def url(self, path):
        return f'http://127.0.0.1:{self.server_port}/{path}'


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        content = server.files.get(self.path)
        asked = self.headers.get('Range')
        server.asked.append(asked)
        if content is None:
            self.send_error(404)
            return
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        begin = 0
        if asked and server.ranges and self.headers.get('If-Range') == tag:
            begin = int(re.match(r'bytes=(\d+)-', asked)[1])
            self.send_response(206)
            end = len(content) - 1
            self.send_header(
                'Content-Range', f'bytes {begin}-{end}/{len(content)}'
            )
        else:
            self.send_response(200)
        if server.tag:
            self.send_header('ETag', tag)
        self.send_header('Content-Length', str(len(content) - begin))
        self.end_headers()
        time.sleep(server.wait)
        part = content[begin:]
        if server.cut is not None:
            part, server.cut = part[: server.cut], None
        with suppress(OSError):
            self.wfile.write(part)
        self.close_connection = True


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.files['/a.pth'] = CONTENT
    yield server
    server.shutdown()
    server.server_close()


def left_over(path):
    return [
        file.name
        for file in path.parent.iterdir()
        if file != path and not file.name.endswith('.lock')
    ]


def test_file_is_fetched_once_and_whole(server):
    path = D.download(server.url('a.pth'))
    assert path.read_bytes() == CONTENT
    assert D.download(server.url('a.pth')) == path
    assert server.asked == [None]
    assert left_over(path) == []


@pytest.mark.parametrize('ranges', [True, False])
def test_cut_download_is_continued(server, ranges):
    server.cut, server.ranges = 300_000, ranges
    path = D.download(server.url('a.pth'))
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, 'bytes=300000-']


def test_next_process_goes_on_where_the_last_one_was_killed(server):
    path = D.path_of(server.url('a.pth'))
    path.parent.mkdir(parents=True)
    part = path.with_name('a.pth.part')
    part.write_bytes(CONTENT[:1000])
    tag = hashlib.md5(CONTENT).hexdigest()
    D.tag_of(part).write_text(f'"{tag}"')
    assert D.download(server.url('a.pth')).read_bytes() == CONTENT
    assert server.asked == ['bytes=1000-']


@pytest.mark.parametrize('known', [True, False])
def test_part_of_another_file_is_not_continued(server, known):
    path = D.path_of(server.url('a.pth'))
    path.parent.mkdir(parents=True)
    part = path.with_name('a.pth.part')
    part.write_bytes(b'x' * 1000)
    if known:
        D.tag_of(part).write_text('"of yesterday"')
    assert D.download(server.url('a.pth')).read_bytes() == CONTENT


def test_file_of_the_same_name_is_another_file(server):
    server.files['/b/a.pth'] = b'other'
    first = D.download(server.url('a.pth'))
    second = D.download(server.url('b/a.pth'))
    assert first.name == second.name == 'a.pth'
    assert second.read_bytes() == b'other'
    server.files['/c.pth?v=1'] = b'one'
    server.files['/c.pth?v=2'] = b'two'
    assert D.download(server.url('c.pth?v=1')).read_bytes() == b'one'
    assert D.download(server.url('c.pth?v=2')).read_bytes() == b'two'


def test_checksum_in_the_name(server):
    good = hashlib.sha256(CONTENT).hexdigest()[:8]
    server.files[f'/a_20200504-{good}.pth'] = CONTENT
    assert D.download(server.url(f'a_20200504-{good}.pth')).is_file()
    server.files['/a-00000000.pth'] = CONTENT
    with pytest.raises(ValueError) as caught:
        D.download(server.url('a-00000000.pth'))
    assert explain(caught.value) == (
        f'The file {server.url("a-00000000.pth")} does not have the '
        f'checksum in its name: its sha256 begins with {good} instead of '
        '00000000. It was removed: download it again, or give the path of a '
        'local file.'
    )
    assert left_over(D.path_of(server.url('a-00000000.pth'))) == []


def test_file_of_others_is_taken_only_by_its_checksum(server):
    good = hashlib.sha256(CONTENT).hexdigest()[:8]
    folder = D.path_of(server.url('a.pth')).parents[1]
    folder.mkdir(parents=True)
    (folder / 'a.pth').write_bytes(b'of another place')
    assert D.download(server.url('a.pth')).read_bytes() == CONTENT
    name = f'b-{good}.pth'
    (folder / name).write_bytes(CONTENT)
    assert D.download(server.url(name)) == folder / name
    (folder / name).write_bytes(b'damaged')
    server.files[f'/{name}'] = CONTENT
    assert D.download(server.url(name)).read_bytes() == CONTENT


def test_what_is_not_there(server):
    url = server.url('missing.pth')
    with pytest.raises(FileNotFoundError) as caught:
        read_checkpoint(url)
    place = D.path_of(url)
    assert explain(caught.value) == (
        f'The file {url} could not be downloaded (HTTP Error 404: Not '
        f'Found): put it at {place}, or give the path of a local file '
        'instead of the URL.'
    )
    assert server.asked == [None]
    # As the sentence says.
    torch.save(dict(w=torch.ones(1)), place)
    assert read_checkpoint(url)[0].keys() == {'w'}


def test_server_that_does_not_answer(server, monkeypatch):
    monkeypatch.setattr(D, 'TIMEOUT', 0.1)
    monkeypatch.setattr(D, 'TRIES', 2)
    server.wait = 0.6
    with pytest.raises(FileNotFoundError, match='timed out'):
        D.download(server.url('a.pth'))
    assert len(server.asked) == 2


def test_server_that_ends_too_early_each_time(server, monkeypatch):
    monkeypatch.setattr(D, 'TRIES', 1)
    server.cut = 1000
    with pytest.raises(FileNotFoundError, match='1000 of 1048576|Incomplete'):
        D.download(server.url('a.pth'))


@pytest.mark.parametrize('url', ['http://', 'http://[', 'https://a b/c.pth'])
def test_url_that_is_none(url, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(FileNotFoundError, match='could not be downloaded'):
        D.download(url)


def _fetch(url, home):
    import os

    os.environ['TORCH_HOME'] = home
    return D.download(url).read_bytes() == CONTENT


@pytest.mark.slow
def test_two_processes_fetch_it_once(server, tmp_path):
    server.wait = 0.3
    home = str(tmp_path / 'home')
    with get_context('spawn').Pool(2) as pool:
        done = pool.starmap(_fetch, [(server.url('a.pth'), home)] * 2)
    assert done == [True, True]
    assert server.asked == [None]
