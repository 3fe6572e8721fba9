"""A sweep from its plan to its report."""

import fcntl
import re
import signal
from contextlib import contextmanager, suppress

from sweep_check import check_jobs
from sweep_job import Job
from sweep_plan import PlanError
from sweep_queue import train_all
from sweep_report import write_report_page, write_results
from sweep_settings import settings_of

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def make_jobs(plan, out):
    """Make the jobs of a plan, and check whether they can be resumed.

    Args:
        plan (Plan): The plan.
        out (Path): The folder of the sweep.

    Returns:
        list[Job]: In the order of the plan, finished ones included.

    Raises:
        PlanError: If a config does not fit or settings have changed.
    """
    needs = any(run.needs for run in plan.runs.values())
    if needs and re.search(r'[^\w./+-]', str(out)):
        raise PlanError(
            f'The checkpoints in {out} cannot be named in --cfg-options: '
            'choose a folder of letters, digits and . / + - with --out.'
        )
    settings = {
        name: settings_of(run, plan) for name, run in plan.runs.items()
    }
    jobs = [
        Job(plan, run, seed, out, settings[run.name])
        for run, seed in plan.order()
    ]
    for job in jobs:
        job.check()
    return jobs


@contextmanager
def caught_signals(interrupt=False):
    """Note signals that stop a command, instead of being stopped by them.

    Args:
        interrupt (bool): Whether to raise KeyboardInterrupt too, at the first.

    Yields:
        list[int]: Their numbers, as they come.
    """
    signals, handlers = [], {}

    def note(number, _):
        signals.append(number)
        if interrupt and len(signals) == 1:
            raise KeyboardInterrupt

    for number in SIGNALS:
        # nohup ignores SIGHUP: keep it ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            handlers[number] = signal.signal(number, note)
    try:
        yield signals
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def locked(out):
    """Keep the folder of a sweep for this process and its trainings.

    Args:
        out (Path): The folder; it is made.

    Yields:
        file: The lock file, for :func:`run_plan`.

    Raises:
        PlanError: If another process has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with open(out / '.lock', 'w') as lock:
        try:
            # Before reading what the folder holds.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlanError(
                f'Another sweep, or a training that it left, is at work in '
                f'{out}: wait for it, stop it, or choose another folder with '
                '--out.'
            ) from None
        yield lock


def run_plan(plan, out, lock, args):
    """Check what a plan names, train it, and write the report.

    Args:
        plan (Plan): The plan.
        out (Path): The folder of the sweep.
        lock (file): Of :func:`locked`.
        args (argparse.Namespace): Of :mod:`sweep_options`, with ``modules``,
            the folder of modules that ``custom_imports`` names.

    Returns:
        int: Exit code: 0 if all have finished, 1 if some have failed, 128
        plus the number of the signal if one stopped the sweep.

    Raises:
        PlanError: If a run would not train; nothing was started then.
    """
    failures = []
    with caught_signals() as signals:
        jobs = make_jobs(plan, out)
        waiting = [job for job in jobs if not job.is_done]
        if waiting:
            check_jobs(waiting, args.slots, signals)
        if not signals:
            failures = train_all(
                jobs,
                args.slots,
                signals,
                lock=lock,
                modules=args.modules,
                timeout=args.timeout,
            )
        if failures:
            print('\n'.join(['\nWhat went wrong:', *failures]), flush=True)
        if signals:
            # Its predictions would take minutes.
            write_results(plan, out)
            return say_stopped(signals[0])
    return report(plan, out) or int(bool(failures))


def report(plan, out, metric=None):
    """Write the results of a sweep and its page.

    Args:
        plan (Plan): The plan.
        out (Path): The folder of the sweep.
        metric (str, optional): See :func:`sweep_report.write_results`.

    Returns:
        int: Exit code: 0, or 128 plus the number of a signal that came before
        the page was written.
    """
    rows = write_results(plan, out, metric)
    with (
        caught_signals(interrupt=True) as signals,
        suppress(KeyboardInterrupt),
    ):
        write_report_page(plan, out, rows, metric)
    return say_stopped(signals[0]) if signals else 0


def say_stopped(number):
    """Say how to go on after a signal; return the exit code."""
    print(
        f'\nStopped by {signal.Signals(number).name} before the page was '
        'written: give the same command to go on.',
        flush=True,
    )
    return 128 + number
