"""From an exception to the one sentence that a command prints."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..exceptions import MMKDError
from .error_causes import CAUSES

# What the machine or a path is to blame for, not the code.
DISK_ERRORS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.EMFILE,
)


@contextmanager
def explain_errors():
    """End a command on an error in its input with one sentence.

    What the plugin raises on purpose is such a sentence; of what others
    raise, known causes are put into one.  All else passes unchanged, and
    with ``MMKD_TRACEBACK=1`` in the environment everything does.

    Raises:
        SystemExit: Instead of the error; the exit code is 1.
    """
    try:
        yield
    except Exception as error:
        sentence = explain(error)
        if sentence is None or os.environ.get('MMKD_TRACEBACK'):
            raise
        raise SystemExit(f'error: {sentence}') from error


def explain(error: BaseException) -> str | None:
    """Say in one line what is wrong with the input.

    Args:
        error: As caught, with what it was raised from.

    Returns:
        None if the error is not known to come from the input.
    """
    error = _as_raised(error)
    text = _message(error)
    if _is_ours(error):
        return text
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return (
            f'{text}: make the file or folder accessible, free some space, '
            'or choose another folder with --work-dir.'
        )
    for kind, pattern, sentence in CAUSES:
        found = re.search(pattern, text)
        if isinstance(error, kind) and found:
            port = os.environ.get('MASTER_PORT', 29500)
            return sentence.format(text, *found.groups(), port=port)
    return None


def _message(error: BaseException) -> str:
    """The message in one line, without the traceback of a loader process."""
    # `str` of a KeyError would be in quotes.
    is_key = isinstance(error, KeyError) and error.args
    text = str(error.args[0] if is_key else error)
    in_worker = _in_worker(text)
    if in_worker:
        text = in_worker[2]
    return ' '.join(text.split()) or type(error).__name__


def _in_worker(text: str) -> tuple | None:
    """Module, class and message of an error that a loader process met.

    PyTorch raises it again in the main process with the whole traceback as
    its message, by the same class where that takes one argument.
    """
    if 'Original Traceback' not in text:
        return None
    last = text.rpartition('Traceback (most recent call last):\n')[2]
    # A class that puts its message together itself has added to it.
    last = last.rpartition('\n')[0]
    found = re.search(r'^([\w.]*?)\.?(\w+)(?:: |$)(.*)', last, re.M | re.S)
    return found and found.groups()


def _as_raised(error):
    """Look through those that raise an error again as their own.

    ``from`` names the error that is to blame, wherever it is of ours.
    MMEngine raises the TypeError of a hook anew, with the hook in its
    message and ``from None``.
    """
    chain, origin = [], error
    while origin is not None and origin not in chain:
        if isinstance(origin, MMKDError):
            return origin
        chain.append(origin)
        origin = origin.__cause__
    context = error.__context__
    text = str(context or '')
    if error.__suppress_context__ and text and text in str(error):
        return _as_raised(context)
    return error


def _is_ours(error: BaseException) -> bool:
    """Whether it was raised on purpose, here or in a loader process."""
    if isinstance(error, MMKDError):
        return True
    in_worker = _in_worker(str(error))
    return in_worker is not None and any(
        kind.__module__ == in_worker[0] and kind.__name__ == in_worker[1]
        for kind in _kinds(MMKDError)
    )


def _kinds(kind) -> Iterator:
    """A class and all that are derived from it."""
    yield kind
    for derived in kind.__subclasses__():
        yield from _kinds(derived)
