"""From an exception to the sentence that a command prints."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..exceptions import MMKDError
from .error_causes import CAUSES
from .foreign_messages import hide_foreign_messages

# Errors caused by the system or a path, not by code.
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

    The plugin's own exceptions are such sentences; known errors of other
    packages are turned into one.  Any other error passes unchanged, and with
    ``MMKD_TRACEBACK=1`` in the environment every error does.  Until then,
    messages of other packages that say nothing are left out.

    Raises:
        SystemExit: Instead of the error; the exit code is 1.
    """
    try:
        with hide_foreign_messages():
            yield
    except Exception as error:
        sentence = explain(error)
        if sentence is None or os.environ.get('MMKD_TRACEBACK'):
            raise
        raise SystemExit(f'error: {sentence}') from error


def explain(error: BaseException) -> str | None:
    """Say in one line what is wrong with the input.

    Args:
        error: The error as caught, with its cause.

    Returns:
        None if the error is not known to be caused by the input.
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
    """The message in one line, without the traceback of a loader worker."""
    # `str` of a KeyError is quoted.
    is_key = isinstance(error, KeyError) and error.args
    text = str(error.args[0] if is_key else error)
    in_worker = _in_worker(text)
    if in_worker:
        text = in_worker[2]
    return ' '.join(text.split()) or type(error).__name__


def _in_worker(text: str) -> tuple | None:
    """Module, class and message of an error in a loader worker.

    PyTorch raises it again in the main process with the whole traceback as
    message, and with the same class if that takes one argument.
    """
    if 'Original Traceback' not in text:
        return None
    last = text.rpartition('Traceback (most recent call last):\n')[2]
    # A class that builds its own message has added a line.
    last = last.rpartition('\n')[0]
    found = re.search(r'^([\w.]*?)\.?(\w+)(?:: |$)(.*)', last, re.M | re.S)
    return found and found.groups()


def _as_raised(error):
    """Find the original error of one that was raised again.

    If one in the chain of ``from`` is an MMKDError, it is that one.
    MMEngine raises a TypeError of a hook again, with the hook in its message
    and ``from None``.
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
    """Whether it is an MMKDError, here or in a loader worker."""
    if isinstance(error, MMKDError):
        return True
    in_worker = _in_worker(str(error))
    return in_worker is not None and any(
        kind.__module__ == in_worker[0] and kind.__name__ == in_worker[1]
        for kind in _kinds(MMKDError)
    )


def _kinds(kind) -> Iterator:
    """A class and all its subclasses."""
    yield kind
    for derived in kind.__subclasses__():
        yield from _kinds(derived)
