"""What other packages say that tells a user nothing.

Only the commands of tools/ leave it out, and only what is listed here, word
by word; everything else comes through.
"""

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout

# Warnings, as regular expressions of the whole message, with their category.
WARNINGS = (
    # onedl-mmdetection, of a metric that no config here uses.
    (
        r'faster_coco_eval is not installed, metrics will not be computed\. '
        r'Please install it by: mim install \S+',
        UserWarning,
    ),
    # MMEngine 0.10.7 looks for versions of packages with it.
    (r'pkg_resources is deprecated as an API\. See \S+\. .*', UserWarning),
)
# Warnings of MMEngine's logger: CheckpointHook and its own CheckpointLoader
# still use what it deprecates.
RECORDS = (
    r'"FileClient" will be deprecated in future\. Please use io functions in '
    r'\S+',
    r'"HardDiskBackend" is the alias of "LocalBackend" and the former will be '
    r'deprecated in future\.',
)
# Printed lines.
PRINTS = (
    # onedl-mmdetection, of data sets of its own.
    r'Could not import OneDL\. Skipping OneDL datasets\.',
)
# Lines that pycocotools prints while it reads an annotation file.
COCO_PRINTS = (
    r'loading annotations into memory\.\.\.',
    r'Done \(t=\d+\.\d\ds\)',
    r'creating index\.\.\.',
    r'index created!',
)


@contextmanager
def hide_foreign_messages() -> Iterator[None]:
    """Leave out WARNINGS and PRINTS."""
    # Some commands print what is not their result to stderr.
    errors = _Sieve(sys.stderr, PRINTS)
    with (
        warnings.catch_warnings(),
        without_lines(PRINTS),
        redirect_stderr(errors),  # type: ignore[type-var]
    ):
        for message, category in WARNINGS:
            warnings.filterwarnings('ignore', rf'{message}\Z', category)
        try:
            yield
        finally:
            errors.end()


@contextmanager
def without_lines(patterns: Sequence[str]) -> Iterator[list[str]]:
    """Leave out printed lines.

    Args:
        patterns: Regular expressions of whole lines.

    Yields:
        The lines left out so far.
    """
    stream = _Sieve(sys.stdout, patterns)
    try:
        with redirect_stdout(stream):  # type: ignore[type-var]
            yield stream.held
    finally:
        stream.end()


class _Sieve:
    """A stream in which lines that are printed by ``print`` are held back."""

    def __init__(self, stream, patterns: Sequence[str]) -> None:
        self.stream = stream
        self.patterns = patterns
        self.held: list[str] = []
        self._begins = True
        self._waiting = ''

    def write(self, text: str) -> int:
        """Write a text, unless it is all of a line that is held back."""
        # `print` writes values, spaces and the end one after the other.
        waiting, self._waiting = self._waiting, ''
        if waiting and text == '\n':
            self.held.append(waiting)
        elif self._begins and not waiting and self._is_held(text):
            self._waiting = text
        else:
            self.stream.write(waiting + text)
            self._begins = (waiting + text).endswith('\n')
        return len(text)

    def _is_held(self, text: str) -> bool:
        return any(re.fullmatch(pattern, text) for pattern in self.patterns)

    def end(self) -> None:
        """Write everything from now on; a logger may have kept the stream."""
        self.patterns = ()
        if self._waiting:
            self.write('')

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


def is_foreign(record: logging.LogRecord) -> bool:
    """Whether a record of a logger is one of RECORDS."""
    return record.levelno == logging.WARNING and any(
        re.fullmatch(pattern, str(record.msg)) for pattern in RECORDS
    )
