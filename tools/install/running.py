"""Runs commands that end with the set-up, whatever ends it.

A command gets a session of its own. A request to stop the set-up (Ctrl-C,
SIGTERM, a closed terminal) becomes an exception in it, on whose way out the
processes of that session are ended: pip, ninja, and the compilers, which
ninja puts into process groups of their own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

STOPS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
GRACE = 5  # seconds in which a command may end by itself


def say(text):
    print(text, flush=True)


class Interrupted(BaseException):
    """The set-up was asked to stop.

    Args:
        number (int): The signal.
    """

    def __init__(self, number):
        super().__init__(number)
        self.number = number


class Stopper:
    """Raises Interrupted at the first signal of ``STOPS``, once."""

    def __init__(self):
        self.number = None
        self.held = False

    def install(self):
        for number in STOPS:
            # nohup and a shell's `&` ignore some, and so do we.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.stop)

    def stop(self, number, frame=None):
        if self.number is None:
            self.number = number
            if not self.held:
                raise Interrupted(number)

    @contextlib.contextmanager
    def hold(self):
        """Puts a signal off until the block is left."""
        before, self.held = self.number, True
        try:
            yield
        finally:
            self.held = False
        if self.number != before:
            raise Interrupted(self.number)


STOPPER = Stopper()


def run(command, beat, on_beat, **options):
    """Runs a command to its end, or ends it with everything it started.

    Args:
        command (list[str]): The command.
        beat (float): Seconds between two calls of ``on_beat``.
        on_beat (Callable): Called without arguments while it runs.
        **options: Those of ``subprocess.Popen``.

    Returns:
        int: Its exit code.

    Raises:
        Interrupted: If the set-up was asked to stop. Whatever is raised, no
            process of the command is left.
    """
    process = None
    try:
        # Between the start of a process and its name, nothing could end it.
        with STOPPER.hold():
            process = subprocess.Popen(
                command, start_new_session=True, **options
            )
        while True:
            try:
                return process.wait(beat)
            except subprocess.TimeoutExpired:
                on_beat()
    except BaseException:
        if process is not None:
            end_session(process)
        raise


def end_session(process):
    """Ends all processes of a session: politely, then at once."""
    end = time.monotonic() + GRACE
    for pid in find_members(process.pid):
        send(pid, signal.SIGTERM)
    while find_members(process.pid):
        process.poll()  # a process that nobody waited for is still a member
        if time.monotonic() > end:
            for pid in find_members(process.pid):
                send(pid, signal.SIGKILL)
        time.sleep(0.05)


def send(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def find_members(session):
    """Returns the ids of a session's processes, without those that ended."""
    members = []
    for place in Path('/proc').glob('[0-9]*/stat'):
        try:
            text = place.read_text()
        except OSError:
            continue  # it has just ended
        # pid (name) state parent group session ...
        state, _, _, its = text.rpartition(')')[2].split()[:4]
        if int(its) == session and state not in 'ZX':
            members.append(int(place.parent.name))
    return members
