"""Where a wheel of mmcv is found, and why there is none."""

import socket
import threading

import mmcv_wheel
import pytest
from mmcv_wheel import NoWheel, Want, find_links, find_page

from tests.helpers.wheel_index import name_wheel, write_page, write_wheel

WANT = Want('onedl-mmcv==2.3.6', (3, 11), '2.11.0', 'cpu')
FITS = name_wheel()


def why_not(place, want=WANT):
    with pytest.raises(NoWheel) as error:
        find_links(str(place), want)
    return str(error.value)


@pytest.mark.parametrize(
    'stack, device, torch, page',
    [
        (
            'onedl',
            'cu130',
            '2.11.0',
            'https://mmwheels.onedl.ai/cu130-torch2110/simple/onedl-mmcv/'
            'index.html',
        ),
        (
            'onedl',
            'cpu',
            '2.8.1',
            'https://mmwheels.onedl.ai/cpu-torch280/simple/onedl-mmcv/'
            'index.html',
        ),
        (
            'openmmlab',
            'cu121',
            '2.1.2',
            'https://download.openmmlab.com/mmcv/dist/cu121/torch2.1.0/'
            'index.html',
        ),
    ],
)
def test_pages_are_those_of_mim(monkeypatch, stack, device, torch, page):
    monkeypatch.delenv('MMCV_BASE_URL')
    want = WANT._replace(device=device, torch=torch)
    assert find_page(stack, want) == page


@pytest.mark.parametrize('below', ['', 'cp311-torch2.11', 'torch-2.11.0/a/b'])
def test_a_folder_is_searched_with_its_sub_folders(tmp_path, below):
    wheel = write_wheel(tmp_path / 'wheels' / below / FITS)
    assert find_links(tmp_path / 'wheels', WANT) == [str(wheel)]


def test_a_folder_may_itself_name_the_torch(tmp_path):
    write_wheel(tmp_path / 'torch2.10' / FITS)
    assert why_not(tmp_path / 'torch2.10') == (
        'has onedl-mmcv for torch 2.10 only'
    )
    # What lies above the named folder says nothing about its wheels.
    write_wheel(tmp_path / 'torch2.10' / 'wheels' / FITS)
    assert find_links(tmp_path / 'torch2.10' / 'wheels', WANT)


@pytest.mark.parametrize(
    'name, reason',
    [
        ('onedl_mmcv-2.3.5-cp311-cp311-linux_x86_64.whl', 'version 2.3.5'),
        ('onedl_mmcv-2.3.6.post1-cp311-cp311-any.whl', 'version 2.3.6.post1'),
        (name_wheel(python='cp312'), 'Python 3.12'),
        ('onedl_mmcv-2.3.6-cp311-cp311-win_amd64.whl', 'machine win_amd64'),
        (
            'onedl_mmcv-2.3.6-cp311-cp311-manylinux_2_28_riscv64.whl',
            'machine manylinux_2_28_riscv64',
        ),
        (f'torch290/{FITS}', 'torch 2.9'),
        (f'cpu-torch2100/{FITS}', 'torch 2.10'),
    ],
)
def test_a_wheel_that_does_not_fit_says_why(tmp_path, name, reason):
    write_wheel(tmp_path / 'wheels' / name)
    assert why_not(tmp_path / 'wheels') == f'has onedl-mmcv for {reason} only'


@pytest.mark.parametrize(
    'name',
    ['mmcv-2.3.6-cp311-cp311-linux_x86_64.whl', 'x.whl', '-.whl', 'a-b-c.whl'],
)
def test_other_wheels_are_none(tmp_path, name):
    (tmp_path / name).touch()
    assert why_not(tmp_path) == 'has no wheel of onedl-mmcv'


@pytest.mark.parametrize('stack', ['onedl', 'openmmlab'])
def test_a_page_of_the_index_is_read(index, stack):
    page = find_page(stack, WANT)
    folder = (index / page.split('/', 3)[3]).parent
    name = FITS.replace('2.3.6', '2.3.6%2Bcpu')
    write_page(folder, name_wheel(python='cp312'), name)
    (link,) = find_links(page, WANT)
    assert link == page.replace('index.html', name)


def test_links_of_a_simple_index_are_followed(index):
    page = find_page('onedl', WANT)
    folder = (index / page.split('/', 3)[3]).parent
    write_page(folder, f'../../files/{FITS}#sha256=abc&amp;d')
    assert find_links(page, WANT) == [
        page.replace('onedl-mmcv/index.html', '').replace('simple/', '')
        + f'files/{FITS}#sha256=abc&d'
    ]


def test_another_torch_has_another_page(index):
    other = find_page('onedl', WANT._replace(torch='2.10.0'))
    write_page((index / other.split('/', 3)[3]).parent, FITS)
    assert 'answers "404' in why_not(find_page('onedl', WANT))
    assert find_links(other, WANT._replace(torch='2.10.0'))


@pytest.mark.parametrize(
    'content, reason',
    [
        (b'', 'has no wheel of onedl-mmcv'),
        (b'<html><a href="onedl_mmcv-2.3.6', 'has no wheel of onedl-mmcv'),
        (b'<a href="http://[/x.whl">x</a>', 'has a link that cannot be read'),
        (bytes(range(256)), 'has no wheel of onedl-mmcv'),
    ],
)
def test_a_broken_page_has_no_wheel(index, content, reason):
    page = find_page('onedl', WANT)
    path = index / page.split('/', 3)[3]
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert reason in why_not(page)


def test_a_host_that_refuses_is_asked_once(monkeypatch):
    page = find_page('onedl', WANT)
    assert 'cannot be read (' in why_not(page)
    monkeypatch.setattr(mmcv_wheel, 'fetch', None)
    assert 'cannot be read (' in why_not(page + '?other')


def test_an_address_that_is_none_is_a_reason():
    assert 'cannot be read' in why_not('gopher://x/y')


@pytest.fixture
def slow_host():
    """A server that answers, byte after byte, without end."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        end = threading.Event()

        def drip():
            with server.accept()[0] as client:
                client.sendall(b'HTTP/1.0 200 OK\r\n\r\n')
                while not end.wait(0.02):
                    client.sendall(b'<')

        thread = threading.Thread(target=drip)
        thread.start()
        yield f'http://127.0.0.1:{server.getsockname()[1]}'
        end.set()
        thread.join()


def test_a_slow_host_is_given_up(slow_host, monkeypatch):
    monkeypatch.setattr(mmcv_wheel, 'SECONDS', 0.3)
    assert why_not(slow_host) == 'cannot be read (no answer in 0.3 s)'


def test_a_slow_name_resolution_is_given_up(monkeypatch):
    end = threading.Event()
    monkeypatch.setattr(mmcv_wheel, 'SECONDS', 0.1)
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *_, **__: end.wait())
    assert 'no answer' in why_not('http://wheels.invalid/')
    end.set()
