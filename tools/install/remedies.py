"""What stops the set-up, and what a user can do about it."""

from __future__ import annotations

import re

DISK_GB = 9  # torch with its CUDA libraries unpacked, plus pip's cache

# Pattern in a log of pip or the compiler, and what a user can do about it.
REMEDIES = (
    (
        r'No space left on device',
        'The disk is full: free {disk} GB and run it again.',
    ),
    (
        r'Temporary failure in name resolution|Name or service not known'
        r'|NewConnectionError|ConnectTimeout|Read timed out|ProxyError',
        'pip could not reach the package index: check the network, or set '
        'HTTPS_PROXY or PIP_INDEX_URL, and run it again.',
    ),
    (
        r'Killed signal|internal compiler error',
        'The compiler ran out of memory: run it again with MAX_JOBS=1.',
    ),
    (
        r'No matching distribution found for (?P<name>\S+)',
        'The package index has no {name} for this Python and machine: check '
        'PIP_INDEX_URL, or use Linux on x86_64 with Python 3.10 to 3.12.',
    ),
)


class SetupError(Exception):
    """What stops the set-up, in one sentence for the user."""


def explain(log):
    """Returns the sentence that fits a failed command's log, or None."""
    for pattern, remedy in REMEDIES:
        match = re.search(pattern, log)
        if match:
            return remedy.format(disk=DISK_GB, **match.groupdict())
    return None
