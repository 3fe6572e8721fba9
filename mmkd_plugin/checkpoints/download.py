"""Downloading a file from a URL."""

import hashlib
import os
import re
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from mmengine.dist import barrier
from mmengine.logging import print_log

from ..exceptions import MMKDFileNotFoundError, MMKDValueError

TIMEOUT = 30  # seconds without a byte
TRIES = 4
CHUNK = 1 << 20


def download(url: str) -> Path:
    """Download a URL into torch's hub directory, once per node.

    An interrupted download is continued. Files with the same name from two
    URLs are kept apart.

    Args:
        url: An http(s) URL.

    Returns:
        The file; an existing one is not downloaded again.

    Raises:
        FileNotFoundError: If the file cannot be downloaded.
        ValueError: If it does not have the checksum in its name.
    """
    path = path_of(url)
    failure: Exception | None = None
    if int(os.environ.get('LOCAL_RANK', 0)) == 0 and not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fetch(url, path)
        except (OSError, HTTPException, ValueError) as error:
            failure = error
    barrier()
    if isinstance(failure, MMKDValueError):
        raise failure
    if failure is not None or not path.is_file():
        raise MMKDFileNotFoundError(
            f'The file {url} could not be downloaded '
            f'({failure or "see the log of the first rank of this node"}): '
            f'put it at {path}, or give the path of a local file instead of '
            'the URL.'
        )
    return path


def path_of(url: str) -> Path:
    """Path of the file of a URL, whether or not it exists.

    A file that other programs have downloaded is used if it has the checksum
    in its name.
    """
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    name = re.split('[?#]', url)[0].rsplit('/', 1)[-1] or 'file'
    shared = folder / name[-200:]
    if checksum_in(name) and shared.is_file() and _is_as_named(shared):
        return shared
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    return folder / key / name[-200:]


def checksum_in(name: str) -> str | None:
    """The first digits of the sha256 in a file name of OpenMMLab or torch."""
    found = re.search(r'-([0-9a-f]{8})\.(pth|pt|safetensors)$', name)
    return found[1] if found else None


def _is_as_named(path: Path, name: str | None = None) -> bool:
    wanted = checksum_in(name or path.name)
    return wanted is None or sha256_of(path).startswith(wanted)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as ``sha256sum`` prints it."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(url: str, path: Path) -> None:
    """Download a URL, or the part of it that is missing.

    Args:
        url: An http(s) URL.
        path: The file to write; until it is complete, it is called
            ``*.part``, and other processes that download it wait.

    Raises:
        OSError, HTTPException: If it cannot be downloaded.
        ValueError: If it does not have the checksum in its name.
    """
    part = path.with_name(f'{path.name}.part')
    with _locked(path.with_name(f'{path.name}.lock')):
        if path.is_file():
            return
        print_log(f'Downloading {url} to {path}', logger='current')
        for attempt in range(TRIES):
            try:
                _continue(url, part)
                break
            except HTTPError:
                raise
            except (OSError, HTTPException):
                if attempt == TRIES - 1:
                    raise
        if not _is_as_named(part, path.name):
            found = sha256_of(part)[:8]
            part.unlink()
            tag_of(part).unlink(missing_ok=True)
            raise MMKDValueError(
                f'The file {url} does not have the checksum in its name: its '
                f'sha256 begins with {found} instead of '
                f'{checksum_in(path.name)}. It was removed: download it '
                'again, or give the path of a local file.'
            )
        os.replace(part, path)
        tag_of(part).unlink(missing_ok=True)


def tag_of(part: Path) -> Path:
    """The file with the ETag of a partial download."""
    return part.with_name(f'{part.name}.tag')


def _continue(url: str, part: Path) -> None:
    """Download the rest of a partial file; all of it if the server must.

    Raises:
        OSError: If the connection ends before the file.
    """
    tag, have = tag_of(part), 0
    total: int | None = None
    headers = {'User-Agent': 'mmkd_plugin'}
    if part.is_file() and tag.is_file() and part.stat().st_size:
        have = part.stat().st_size
        # If the file has changed, the server sends all of it.
        headers |= {'Range': f'bytes={have}-', 'If-Range': tag.read_text()}
    try:
        answer = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if have and error.code == 416:  # complete, or changed
            part.unlink()
            raise OSError('the server has another file now') from error
        raise
    with answer:
        length = answer.headers.get('Content-Length')
        if answer.status == 206:
            said = answer.headers.get('Content-Range', '')
            found = re.fullmatch(r'bytes (\d+)-\d+/(\d+)', said)
            if not found or int(found[1]) != have:
                part.unlink()
                raise OSError(f'the server gives {said!r} of the file')
            total = int(found[2])
        else:
            have, total = 0, int(length) if length else None
        mark = answer.headers.get('ETag') or ''
        if mark and not mark.startswith('W/'):
            tag.write_text(mark)
        else:
            tag.unlink(missing_ok=True)
        with part.open('ab' if have else 'wb') as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
    size = part.stat().st_size
    if total is not None and size != total:
        raise OSError(f'the connection ended after {size} of {total} bytes')


@contextmanager
def _locked(path: Path):
    """Make other processes on this machine wait."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with path.open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
