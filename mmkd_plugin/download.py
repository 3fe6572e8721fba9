"""Fetching a file from a URL."""

import os
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier

from .exceptions import MMKDFileNotFoundError


def download(url: str) -> Path:
    """Fetch a URL into torch's hub directory, once a node.

    Args:
        url (str): An http(s) URL.

    Returns:
        Path: The file; one that is already there is not fetched again.

    Raises:
        FileNotFoundError: If the file cannot be fetched.
    """
    path = Path(
        torch.hub.get_dir(),
        'checkpoints',
        os.path.basename(urlparse(url).path),
    )
    failure = None
    if int(os.environ.get('LOCAL_RANK', 0)) == 0 and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except (URLError, OSError) as error:
            failure = error
    barrier()
    if failure is not None or not path.is_file():
        raise MMKDFileNotFoundError(
            f'The file {url} could not be downloaded '
            f'({failure or "see the log of the first rank of this node"}): '
            f'put it at {path}, or give the path of a local file instead of '
            'the URL.'
        )
    return path
