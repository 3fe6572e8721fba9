"""Handlers of signals that no other process inherits.

A forked process has the handlers of its parent.  A handler that stops the
training would keep a worker of somebody's pool alive, and the parent would
wait for it for ever.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

SIGNALS = (signal.SIGTERM,)
_is_watching_forks = False
_held = threading.local()


def take_over(number: int, act: Callable[[], None]) -> Callable[[], None]:
    """Handle a signal in this process only.

    Args:
        number: The signal, out of :data:`SIGNALS`.
        act: What to do.

    Returns:
        A function that restores the old handler, unless it was replaced
        again.  Outside the main thread, where Python handles no signals,
        nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    global _is_watching_forks
    if not _is_watching_forks:
        os.register_at_fork(
            before=_hold_back,
            after_in_parent=_let_through,
            after_in_child=_give_back_all,
        )
        _is_watching_forks = True
    owner = os.getpid()

    def handler(*_) -> None:
        if os.getpid() == owner:
            act()
        else:
            # Forked by C code, without Python's fork handlers.
            _give_back(number)
            os.kill(os.getpid(), number)

    before: Any = signal.getsignal(number)
    # None is a handler of C code, which Python cannot set again.
    handler.before = before or signal.SIG_DFL  # type: ignore[attr-defined]
    signal.signal(number, handler)

    def give_back() -> None:
        if signal.getsignal(number) is handler:
            signal.signal(number, handler.before)  # type: ignore

    return give_back


def _hold_back() -> None:
    # Python loses a signal that reaches a new process before it is ready.
    _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.mask)


def _give_back_all() -> None:
    for number in SIGNALS:
        _give_back(number)
    _let_through()


def _give_back(number: int) -> None:
    """Restore the handler from before any of ours."""
    current: Any = signal.getsignal(number)
    before = current
    while hasattr(before, 'before'):
        before = before.before
    if before is not current:
        signal.signal(number, before)
