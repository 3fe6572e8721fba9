#!/usr/bin/env python
"""Train several configs with several seeds, and compare them.

A plan (see tools/sweep/sweep_plan.py) names the configs, the settings to
change and the seeds. Each training is a process of tools/train.py; all runs of
one seed come before those of the next, so that what has finished at any time
can be compared. Modules beside the plan can be named in `custom_imports`.
The command can be stopped and started again: finished
trainings are kept, unfinished ones are resumed. Results are in OUT/results.md,
.json and .png, those of one training in OUT/RUN/seed_N (see
tools/sweep/sweep_job.py).

    python tools/sweep/sweep.py PLAN.py --jobs 2
"""

import argparse
import fcntl
import os
import re
import signal
import sys
import time
from pathlib import Path

from sweep_job import Job, stop
from sweep_plan import PlanError, read_plan
from sweep_report import write_report
from sweep_settings import settings_of

from mmkd_plugin.cli.errors import explain_errors

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds between two checks of the processes.
PAUSE = 0.1


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


def make_env(gpu, jobs, modules):
    """Environment of a training.

    Args:
        gpu (str | None): The only GPU visible to it; None changes nothing.
        jobs (int): How many trainings share the CPU cores.
        modules (Path): Folder of the modules that ``custom_imports`` names.

    Returns:
        dict[str, str]: Environment variables.
    """
    env = dict(os.environ)
    cores = len(os.sched_getaffinity(0))
    env.setdefault('OMP_NUM_THREADS', str(max(cores // jobs, 1)))
    paths = [str(modules), env.get('PYTHONPATH', '')]
    env['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    if gpu is not None:
        env['CUDA_VISIBLE_DEVICES'] = gpu
    return env


def train_all(jobs, slots, lock, modules, timeout=None):
    """Train, at most one job per slot at a time.

    Args:
        jobs (list[Job]): In the order to start them.
        slots (list[str | None]): The GPU of each; None leaves the choice.
        lock (file): The lock file of the sweep's folder.
        modules (Path): See :func:`make_env`.
        timeout (float, optional): Seconds that one training may take.

    Returns:
        int: Exit code: 0 if all have finished, 1 if some have failed, 128
        plus the number of the signal if one stopped the sweep.
    """
    signals, handlers = [], {}
    for number in SIGNALS:
        # nohup ignores SIGHUP: keep it ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            handlers[number] = signal.signal(
                number, lambda number, _: signals.append(number)
            )
    waiting = [job for job in jobs if not job.is_done]
    free, running, failures, lost = list(slots), [], [], set()

    def fail(job, sentence):
        failures.append(sentence)
        lost.add(job.run.name)
        print(f'{sentence}\n', flush=True)

    print(f'{len(waiting)} of {len(jobs)} trainings to do', flush=True)
    try:
        while (waiting or running) and not signals:
            for job in [job for job in running if job.has_ended]:
                running.remove(job)
                free.append(job.slot)
                problem = job.finish()
                if problem:
                    fail(job, problem)
            for job in list(waiting):
                unfinished = {other.run.name for other in waiting + running}
                missing = lost.intersection(job.run.needs)
                if missing:
                    waiting.remove(job)
                    names = ', '.join(sorted(missing))
                    fail(job, f'{job.name}, not started: it needs {names}.')
                elif free and not unfinished.intersection(job.run.needs):
                    waiting.remove(job)
                    try:
                        env = make_env(free[0], len(slots), modules)
                        job.start(env, lock)
                    except PlanError as error:
                        fail(job, f'{job.name}, not started: {error}.')
                        continue
                    job.slot = free.pop(0)
                    running.append(job)
            if timeout is not None:
                for job in running:
                    job.stop_if_later_than(timeout)
            time.sleep(PAUSE)
    finally:
        stop(running)
        for job in running:
            job.close()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if signals:
        print(
            f'\nStopped by {signal.Signals(signals[0]).name}: give the same '
            'command to go on.',
            flush=True,
        )
        return 128 + signals[0]
    if failures:
        print('\n'.join(['\nWhat went wrong:', *failures]), flush=True)
    return 1 if failures else 0


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('plan', help='path of the plan')
    parser.add_argument(
        '--out',
        type=Path,
        help='output folder (default: ./work_dirs/sweeps/PLAN)',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='trainings at once (default: one per GPU of --gpus, else 1)',
    )
    parser.add_argument(
        '--gpus',
        help='GPUs to use, one per training: 0,1; a GPU named twice gets two '
        'trainings at once',
    )
    parser.add_argument(
        '--timeout',
        type=float,
        metavar='SECONDS',
        help='stop a training that takes longer, and count it as failed',
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='train nothing, report what has finished',
    )
    parser.add_argument(
        '--metric',
        help='with --report-only: report another metric of the same '
        'validations, in OUT/results_METRIC.*',
    )
    args = parser.parse_args()
    if args.metric and not args.report_only:
        parser.error(
            '--metric is for --report-only: the plan names the metric that '
            'trainings are compared by.'
        )
    gpus = args.gpus.split(',') if args.gpus else None
    jobs = len(gpus or [None]) if args.jobs is None else args.jobs
    if jobs < 1 or (gpus and jobs > len(gpus)):
        parser.error(
            f'expected at least one job and a GPU for each but got --jobs '
            f'{jobs} --gpus {args.gpus}: a GPU may be named twice.'
        )
    args.slots = gpus[:jobs] if gpus else [None] * jobs
    return args


@explain_errors()
def main():
    args = parse_args()
    out = args.out or Path('work_dirs', 'sweeps', Path(args.plan).stem)
    out = out.resolve()
    modules = Path(args.plan).resolve().parent
    sys.path.append(str(modules))
    try:
        plan = read_plan(args.plan)
        if args.report_only:
            write_report(plan, out, args.metric)
            return
        out.mkdir(parents=True, exist_ok=True)
        with open(out / '.lock', 'w') as lock:
            # Before reading what the folder holds.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            jobs = make_jobs(plan, out)
            code = train_all(jobs, args.slots, lock, modules, args.timeout)
    except PlanError as error:
        raise SystemExit(f'error: {error}') from error
    except BlockingIOError:
        raise SystemExit(
            f'error: Another sweep, or a training that it left, is at work '
            f'in {out}: wait for it, stop it, or choose another folder with '
            '--out.'
        ) from None
    write_report(plan, out)
    sys.exit(code)


if __name__ == '__main__':
    main()
