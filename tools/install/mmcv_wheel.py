"""Finds a wheel of mmcv with compiled ops, for one Python and one torch.

A place is a folder, with its sub-folders, or a page with links. Each family
of distributions has an index with one page per torch version and device; the
addresses are those that ``mim install`` uses, and ``MMCV_BASE_URL`` names
another host for it, as it does for mim.
"""

from __future__ import annotations

import html
import os
import platform
import queue
import re
import threading
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import unquote, urljoin, urlsplit

SECONDS = 3  # in which a page must have come
HOSTS = {
    'onedl': 'https://mmwheels.onedl.ai',
    'openmmlab': 'https://download.openmmlab.com',
}
PAGES = {
    'onedl': '{host}/{device}-torch{major}{minor}0/simple/onedl-mmcv/'
    'index.html',
    'openmmlab': '{host}/mmcv/dist/{device}/torch{major}.{minor}.0/index.html',
}
# In a path, as in cp311-torch2.11 or cpu-torch2110.
TORCH = re.compile(r'torch-?(?:(\d+)\.(\d+)|(\d)(\d+)0(?!\d))')
DOWN = {}  # host that did not answer: why


class NoWheel(Exception):
    """Why a place has no wheel that fits; follows the name of the place."""


class Want(NamedTuple):
    """What a wheel must fit."""

    pin: str  # 'onedl-mmcv==2.3.6'
    python: tuple[int, int]
    torch: str  # '2.11.0'
    device: str  # 'cpu' or 'cu130'

    def __str__(self):
        python = '.'.join(map(str, self.python))
        return (
            f'{self.pin} for Python {python}, torch {self.torch} and '
            f'{self.device}'
        )


def find_page(stack, want):
    """Returns the address of an index's page for a torch and a device."""
    major, minor = want.torch.split('.')[:2]
    return PAGES[stack].format(
        host=os.environ.get('MMCV_BASE_URL', HOSTS[stack]).rstrip('/'),
        device=want.device,
        major=major,
        minor=minor,
    )


def find_links(place, want):
    """Returns the wheels of a place that fit, as paths or URLs.

    Args:
        place (str | Path): A folder, or the address of a page.
        want (Want): What they must fit.

    Raises:
        NoWheel: If there is none, with the reason.
    """
    read_links = read_page if '://' in str(place) else read_folder
    wheels = [wheel for wheel in map(describe, *read_links(place)) if wheel]
    project, version = want.pin.split('==')
    wheels = [w for w in wheels if w['project'] == project.replace('-', '_')]
    if not wheels:
        raise NoWheel(f'has no wheel of {project}')
    major, minor = want.torch.split('.')[:2]
    wanted = {
        'version': version,
        'torch': f'{major}.{minor}',
        'Python': '.'.join(map(str, want.python)),
        'machine': platform.machine(),
    }
    for what, value in wanted.items():
        # A path need not say for which torch its wheels are.
        fit = [wheel for wheel in wheels if wheel[what] in (value, None)]
        if not fit:
            there = sorted({wheel[what] for wheel in wheels})
            raise NoWheel(f'has {project} for {what} {", ".join(there)} only')
        wheels = fit
    return [wheel['link'] for wheel in wheels]


def describe(link, path):
    """Returns what a path says that its wheel fits, or None if not a wheel."""
    folder, _, name = path.rpartition('/')
    parts = name.removesuffix('.whl').split('-')
    if len(parts) < 5 or not name.endswith('.whl'):
        return None
    python, system, here = parts[-3], parts[-1], platform.machine()
    fits = re.fullmatch(rf'\w*linux\w*_{here}', system.partition('.')[0])
    torch = ['.'.join(filter(None, found)) for found in TORCH.findall(folder)]
    return {
        'link': link,
        'project': re.sub(r'[-_.]+', '_', parts[0]).lower(),
        'version': parts[1].partition('+')[0],
        'torch': torch[-1] if torch else None,
        'Python': re.sub(r'^cp(\d)', r'\1.', python),
        'machine': here if fits else system,
    }


def read_folder(folder):
    """Returns the wheels below a folder, and their paths from it on."""
    paths = sorted(Path(folder).rglob('*.whl'))
    inner = [path.relative_to(Path(folder).parent) for path in paths]
    return [str(path) for path in paths], [str(path) for path in inner]


def read_page(url):
    """Returns the links of a page, and their paths.

    Raises:
        NoWheel: If it does not come, in ``SECONDS``.
    """
    host = urlsplit(url).netloc
    if host in DOWN:
        raise NoWheel(DOWN[host])
    answer = queue.SimpleQueue()
    # Name resolution, and a server that sends byte after byte, heed no
    # time-out.
    threading.Thread(target=fetch, args=(url, answer), daemon=True).start()
    try:
        page = answer.get(timeout=SECONDS)
    except queue.Empty:
        page = TimeoutError(f'no answer in {SECONDS} s')
    if isinstance(page, HTTPError):
        raise NoWheel(f'answers "{page.code} {page.reason}"')
    if isinstance(page, Exception):
        DOWN[host] = f'cannot be read ({getattr(page, "reason", page)})'
        raise NoWheel(DOWN[host])
    links = re.findall(r'<a\s[^>]*href\s*=\s*["\']?([^"\'\s>]+)', page, re.I)
    try:
        links = [urljoin(url, html.unescape(link)) for link in links]
        return links, [unquote(urlsplit(link).path) for link in links]
    except ValueError as error:
        raise NoWheel(f'has a link that cannot be read ({error})') from error


def fetch(url, answer):
    """Puts the text of a page, or the exception that it ended with."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as response:
            answer.put(response.read().decode(errors='replace'))
    except Exception as error:
        answer.put(error)
