"""From an exception to the one sentence that a command prints."""

import errno
import os
import re
from contextlib import contextmanager
from urllib.error import URLError

from .exceptions import MMKDError

DISK_ERRORS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
)
# Errors that others raise for a cause that lies in the input: type, pattern
# of the message, what to say. `{0}` is the message, `{1}` ... its groups.
CAUSES = (
    (
        FileNotFoundError,
        r'(.*?)\.?$',
        '{1}. If the file belongs to the data, name their folder with '
        '--cfg-options data_root=/path/to/data/.',
    ),
    (
        URLError,
        '',
        'A file could not be downloaded ({0}): put it where the last lines '
        'of the log say, or give a local one, for the first weights of the '
        'student with --cfg-options model.backbone.init_cfg.checkpoint=FILE.',
    ),
    (
        KeyError,
        r'(\S+) is not in the (\S+) registry',
        'The type {1!r} is not in the registry {2}: correct the name, or '
        'have the module that registers it imported by `custom_imports` in '
        'the config.',
    ),
    (
        TypeError,
        r'(\w+)(?:\.__init__)?\(\) (got an unexpected|missing \d+ required)',
        '{0}: correct the arguments of {1} in the config or in --cfg-options.',
    ),
    (
        AssertionError,
        r'failed to load image: (.*)',
        'The image {1} could not be decoded: it is damaged or no image; '
        'replace it, or take it out of the annotations.',
    ),
    (
        Exception,
        r'OpenCV.*imdecode',
        'An image could not be decoded ({0}): its file is empty; find it by '
        'its size, and replace it or take it out of the annotations.',
    ),
    (
        AssertionError,
        r"Annotation ids in '(.*)' are not unique",
        'The annotation file {1} gives one `id` to several annotations: '
        'number them anew.',
    ),
    (
        RuntimeError,
        r'(No working C\+\+ compiler found|'
        r'Cannot find a working triton installation)',
        'torch.compile cannot work here ({1}): install a C++ compiler, and '
        'Triton for a GPU, or take `compile` out of `teacher` and the config.',
    ),
    (
        RuntimeError,
        r'EADDRINUSE|ddress already in use',
        'The port of the distributed run is in use (MASTER_PORT={port}): '
        'choose another one, PORT=29501 for tools/dist_train.sh.',
    ),
    (
        RuntimeError,
        r'PytorchStreamWriter failed|file write failed',
        'A checkpoint could not be written ({0}): free some space, or choose '
        'another folder with --work-dir.',
    ),
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


def explain(error: Exception) -> str | None:
    """Say in one line what is wrong with the input.

    Args:
        error (Exception): As caught, with its traceback.

    Returns:
        str | None: None if the error is not known to come from the input.
    """
    error = _as_raised(error)
    text = _message(error)
    if isinstance(error, MMKDError):
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
    function = _frames(error)[-1].tb_frame.f_code.co_name
    if isinstance(error, KeyError) and function == 'resume':
        return (
            f'The checkpoint to resume from holds no {text!r}, so it is not '
            'one of a run: start from its weights with --cfg-options '
            'load_from=FILE instead of --resume.'
        )
    return None


def _message(error: Exception) -> str:
    """The message in one line, without the traceback of a loader process."""
    text = str(error.args[0] if isinstance(error, KeyError) else error)
    if 'Original Traceback' in text:
        last = text.strip().splitlines()[-1]
        text = re.sub(r'^[\w.]+: ', '', last)
    return ' '.join(text.split())


def _frames(error: Exception) -> list:
    """The traceback, outermost call first."""
    frames, current = [], error.__traceback__
    while current:
        frames.append(current)
        current = current.tb_next
    return frames


def _as_raised(error: Exception) -> Exception:
    """Look through MMEngine, which raises a hook's TypeError as its own."""
    cause = error.__context__
    if isinstance(error, TypeError) and isinstance(cause, TypeError):
        return cause
    return error
