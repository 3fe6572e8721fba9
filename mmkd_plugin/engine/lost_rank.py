"""Which rank ended, once the others cannot reach it any more.

The backends of ``torch.distributed`` say that a connection was closed, but
not by which rank.  Therefore the ranks exchange once which processes they
are.  When communication fails, each looks which processes have ended, and a
rank that ends leaves a file that says whether it was the first.
"""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmengine.dist import all_gather_object, get_rank, get_world_size

from ..exceptions import MMKDRuntimeError

# Seconds to look for a rank that has ended.
PATIENCE = 5.0
# Part of what torch raises when a rank cannot be reached.
UNREACHABLE = re.compile(
    r'gloo|nccl|connection (was )?(closed|reset|refused)|broken pipe|'
    r'tcpstore|socket|process ?group|rank \d+ .*timed? ?out',
    re.IGNORECASE,
)


class OtherRankError(MMKDRuntimeError):
    """This rank stops only because another one did."""


def exchange_identities(runner) -> None:
    """Tell the other ranks which process this one is, once per runner.

    Raises:
        RuntimeError: If a rank has already ended.
    """
    if get_world_size() == 1 or hasattr(runner, '_mmkd_processes'):
        return
    try:
        runner._mmkd_processes = all_gather_object(_identity())
    except RuntimeError as error:
        raise OtherRankError(_unknown_rank(error)) from error


@contextmanager
def name_lost_rank(runner) -> Iterator[None]:
    """Name the lost rank in the errors that its end causes on the others.

    Raises:
        RuntimeError: Instead of the error of torch.
    """
    processes = getattr(runner, '_mmkd_processes', None)
    if processes is None:
        yield
        return
    with suppress(OSError):  # of an earlier run of this runner
        _end_file(runner, get_rank()).unlink()
    try:
        yield
    except BaseException as error:
        if isinstance(error, OtherRankError):
            _write_end(runner, None)
            raise
        if not _is_connection_error(error):
            _write_end(runner, error)
            raise
        _write_end(runner, None)
        sentence = _find_lost(runner, processes) or _unknown_rank(error)
        raise OtherRankError(sentence) from error


def _is_connection_error(error: BaseException) -> bool:
    return (
        isinstance(error, RuntimeError)
        and not isinstance(error, MMKDRuntimeError)
        and UNREACHABLE.search(str(error)) is not None
    )


def _write_end(runner, error: BaseException | None) -> None:
    """Write the file that says why this rank ends.

    Args:
        runner (Runner): The file goes to its log directory.
        error: Its own error; None if it ends because of another rank.
    """
    reason = None
    if error is not None:
        text = ' '.join(str(error).split()).rstrip('.:')
        reason = (
            f'{type(error).__name__}: {text}'
            if text
            else (type(error).__name__)
        )
    with suppress(OSError):
        _end_file(runner, get_rank()).write_text(json.dumps(reason))


def _end_file(runner, rank: int) -> Path:
    return Path(runner.log_dir, f'rank_{rank}_ended.json')


def _find_lost(runner, processes: list[dict]) -> str | None:
    """Wait for at most `PATIENCE` until it is clear which rank ended first."""
    here = _identity()['machine']
    others = [rank for rank in range(len(processes)) if rank != get_rank()]
    end = time.monotonic() + PATIENCE
    while True:
        # In this order: a process writes its file before it ends.
        gone = [
            rank
            for rank in others
            if processes[rank]['machine'] == here and _is_gone(processes[rank])
        ]
        for rank in others:
            who = f'Rank {rank} (process {processes[rank]["pid"]} on '
            who += f'{processes[rank]["host"]})'
            left = _read_end(_end_file(runner, rank))
            if left.get('reason'):
                return (
                    f'{who} stopped with an error, so this rank stops too: '
                    f'{left["reason"]}. Look at the output of that rank.'
                )
            if rank in gone and not left:
                return (
                    f'{who} ended without an error, so this rank stops too: '
                    'it was killed, as the system does when memory runs out; '
                    'look at its output and the log of the system, and go on '
                    'with --resume.'
                )
        if time.monotonic() > end:
            return None
        time.sleep(0.1)


def _read_end(file: Path) -> dict:
    """The content of the file of a rank: a `reason`, or nothing yet."""
    try:
        return dict(reason=json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}


def _unknown_rank(error: BaseException) -> str:
    text = str(error).strip().splitlines()[0][:200].rstrip('.:')
    return (
        'Another rank has ended or cannot be reached, so this rank '
        f'({get_rank()} of {get_world_size()}, on {socket.gethostname()}) '
        f'stops too ({text}): look at the output of the other ranks.'
    )


def _identity() -> dict:
    """Which process this is, unique over all machines."""
    space = ''
    with suppress(OSError):  # Linux: process ids are unique within it
        space = os.readlink('/proc/self/ns/pid')
    pid = os.getpid()
    host = socket.gethostname()
    return dict(
        host=host, pid=pid, machine=(host, space), began=_start_time(pid)
    )


def _is_gone(process: dict) -> bool:
    """Whether a process of this machine has ended."""
    if not Path('/proc/self/stat').exists():
        try:
            os.kill(process['pid'], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it runs, and belongs to another user
        return False
    return _start_time(process['pid']) != process['began']


def _start_time(pid: int) -> str | None:
    """Start of a process in Linux clock ticks; None if it has ended."""
    try:
        text = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    # After the name, which may contain anything: the state is the 3rd field.
    fields = text.rpartition(')')[2].split()
    return None if fields[0] in 'ZX' else fields[19]
