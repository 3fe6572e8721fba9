"""Progress on a terminal, of commands that print their result at the end."""

import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def track(things: Iterable, what: str, total: int | None = None) -> Iterator:
    """Go through some things, with a bar on stderr if it is a terminal.

    The bar is gone at the end.

    Args:
        things: What to go through.
        what: What is done, such as 'evaluating the student'.
        total: Their number, where ``things`` has no length.

    Yields:
        Each of them.
    """
    if total is None and isinstance(things, Sized):
        total = len(things)
    columns = MofNCompleteColumn(), TimeRemainingColumn()
    with _progress(*columns) as bar:
        yield from bar.track(things, total=total, description=what)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say what is done and for how long, on stderr if it is a terminal.

    Args:
        what: What is done, where nothing can be counted.
    """
    with _progress(TimeElapsedColumn()) as bar:
        bar.add_task(what, total=None)
        yield


def _progress(*columns: Any) -> Progress:
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        *columns,
        console=Console(stderr=True),
        transient=True,
        # What is printed meanwhile goes where it would go without a bar.
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not sys.stderr.isatty(),
    )
