"""Which rank ended, when the others cannot reach it any more.

The backends of ``torch.distributed`` say that a connection was closed and
not by whom.  So the ranks tell each other once which processes they are.
When talking fails, each looks which of them are gone, and a rank that ends
leaves a file that says whether it was the first.
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
# In what torch raises when a rank cannot be reached.
UNREACHABLE = re.compile(
    r'gloo|nccl|connection (was )?(closed|reset|refused)|broken pipe|'
    r'tcpstore|socket|process ?group|rank \d+ .*timed? ?out',
    re.IGNORECASE,
)


class OtherRankError(MMKDRuntimeError):
    """This rank stops only because another one did."""


def call_roll(runner) -> None:
    """Tell the other ranks which process this one is, once a runner.

    Raises:
        RuntimeError: If a rank has ended before.
    """
    if get_world_size() == 1 or hasattr(runner, '_mmkd_roll'):
        return
    try:
        runner._mmkd_roll = all_gather_object(_identity())
    except RuntimeError as error:
        raise OtherRankError(_unknown(error)) from error


@contextmanager
def name_lost_rank(runner) -> Iterator[None]:
    """Name the rank in errors that its end causes on the others.

    Raises:
        RuntimeError: In place of what torch raises.
    """
    roll = getattr(runner, '_mmkd_roll', None)
    if roll is None:
        yield
        return
    with suppress(OSError):  # of an earlier try of this runner
        _farewell(runner, get_rank()).unlink()
    try:
        yield
    except BaseException as error:
        if isinstance(error, OtherRankError):
            _leave(runner, None)
            raise
        if not _is_of_ranks(error):
            _leave(runner, error)
            raise
        _leave(runner, None)
        sentence = _find(runner, roll) or _unknown(error)
        raise OtherRankError(sentence) from error


def _is_of_ranks(error: BaseException) -> bool:
    return (
        isinstance(error, RuntimeError)
        and not isinstance(error, MMKDRuntimeError)
        and UNREACHABLE.search(str(error)) is not None
    )


def _leave(runner, error: BaseException | None) -> None:
    """Leave a file that says why this rank ends.

    Args:
        runner (Runner): Whose log directory it goes to.
        error: Its own error; None if it ends
            because of another rank.
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
        _farewell(runner, get_rank()).write_text(json.dumps(reason))


def _farewell(runner, rank: int) -> Path:
    return Path(runner.log_dir, f'rank_{rank}_ended.json')


def _find(runner, roll: list[dict]) -> str | None:
    """Wait until it is clear who ended first, for a while."""
    here = _identity()['machine']
    others = [rank for rank in range(len(roll)) if rank != get_rank()]
    end = time.monotonic() + PATIENCE
    while True:
        # In this order: a process leaves its file before it goes.
        gone = [
            rank
            for rank in others
            if roll[rank]['machine'] == here and _is_gone(roll[rank])
        ]
        for rank in others:
            who = f'Rank {rank} (process {roll[rank]["pid"]} on '
            who += f'{roll[rank]["host"]})'
            left = _read(_farewell(runner, rank))
            if left.get('reason'):
                return (
                    f'{who} stopped with an error, so this rank stops too: '
                    f'{left["reason"]}. Look at the output of that rank.'
                )
            if rank in gone and not left:
                return (
                    f'{who} is gone without an error of its own, so this '
                    'rank stops too: it was killed, as the system does when '
                    'memory runs out; look at its output and the log of the '
                    'system, and go on with --resume.'
                )
        if time.monotonic() > end:
            return None
        time.sleep(0.1)


def _read(file: Path) -> dict:
    """What a rank left: a `reason`, perhaps None, or nothing yet."""
    try:
        return dict(reason=json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}


def _unknown(error: BaseException) -> str:
    text = str(error).strip().splitlines()[0][:200].rstrip('.:')
    return (
        'Another rank has ended or cannot be reached, so this rank '
        f'({get_rank()} of {get_world_size()}, on {socket.gethostname()}) '
        f'stops too ({text}): look at the output of the other ranks.'
    )


def _identity() -> dict:
    """Which process this is, among all of all machines."""
    space = ''
    with suppress(OSError):  # Linux: process ids mean something within it
        space = os.readlink('/proc/self/ns/pid')
    pid = os.getpid()
    host = socket.gethostname()
    return dict(host=host, pid=pid, machine=(host, space), began=_began(pid))


def _is_gone(process: dict) -> bool:
    """Whether a process of this machine has ended."""
    if not Path('/proc/self/stat').exists():
        try:
            os.kill(process['pid'], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it is there, and another user's
        return False
    return _began(process['pid']) != process['began']


def _began(pid: int) -> str | None:
    """When a process began, in the clock ticks of Linux; None if it ended."""
    try:
        text = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    # After the name, which may hold anything: the state is the 3rd field.
    fields = text.rpartition(')')[2].split()
    return None if fields[0] in 'ZX' else fields[19]
