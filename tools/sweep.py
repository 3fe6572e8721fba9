#!/usr/bin/env python
"""Train several configs with several seeds, and compare them.

A plan (see tools/sweep_plan.py) names the configs, the settings to change and
the seeds. Each training is a process of tools/train.py; all of one seed come
before those of the next, so that what has been done by any time can be
compared. The command can be stopped and given again: what has finished is
kept, what was begun is resumed.

    python tools/sweep.py PLAN.py --jobs 2
"""

import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from sweep_plan import PlanError, Run, first_difference, read_plan, settings_of
from sweep_report import read_metric, summarize_metric, write_report

from mmkd_plugin.atomic import write_text
from mmkd_plugin.errors import explain_errors
from mmkd_plugin.last_checkpoint import last_named

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ROOT / 'tools' / 'train.py'
# Seconds that a training has to save its state when it is stopped.
GRACE = 60
SHOWN_LINES = 15
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Job:
    """A run with one seed.

    Its folder holds, beside what tools/train.py writes, run.log, settings.json
    (all that must be the same to go on with it), attempts.json (command,
    commit and time of every start) and, when it is done, result.json.
    """

    run: Run
    seed: int
    out: Path
    settings: dict
    process: subprocess.Popen | None = field(default=None, repr=False)
    begin: float = 0
    slot: str | None = None
    is_late: bool = False

    @property
    def name(self):
        return f'{self.run.name} seed {self.seed}'

    @property
    def folder(self):
        return self.out / self.run.name / f'seed_{self.seed}'

    @property
    def is_done(self):
        return (self.folder / 'result.json').is_file()

    @property
    def is_begun(self):
        """Whether there is something to go on from."""
        return last_named(self.folder) is not None

    def check(self):
        """Refuse to go on with other settings.

        Raises:
            PlanError: If it was begun with other settings.
        """
        path = self.folder / 'settings.json'
        if (self.is_done or self.is_begun) and path.is_file():
            found = first_difference(
                json.loads(path.read_text()), self.settings
            )
            if found:
                raise PlanError(
                    f'{self.folder} was trained with other settings '
                    f'({found}): put them back, choose another folder with '
                    '--out, or remove this one.'
                )

    def start(self, env, lock):
        """Start tools/train.py.

        Args:
            env (dict[str, str]): Its environment.
            lock (file): Stays locked as long as the process lives.
        """
        resume = self.is_begun
        self.folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            for old in self.folder.glob('*/vis_data/scalars.json'):
                old.unlink()
        checkpoints = {
            name: last_named(next((self.out / name).glob('seed_*')))
            for name in self.run.needs
        }
        command = [sys.executable, str(TRAIN), self.run.config]
        command += ['--work-dir', str(self.folder)]
        command += ['--resume'] if resume else []
        command += ['--cfg-options', *self.run.arguments(checkpoints)]
        command += [f'randomness.seed={self.seed}']
        write_json(self.folder / 'settings.json', self.settings)
        self.note(command=command, commit=commit(), seconds=None)
        self.begin = time.monotonic()
        with open(self.folder / 'run.log', 'a' if resume else 'w') as log:
            self.process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        print(f'{self.name}: {"resumed" if resume else "started"}', flush=True)

    def note(self, **attempt):
        """Append to attempts.json, or complete the last entry."""
        path = self.folder / 'attempts.json'
        attempts = json.loads(path.read_text()) if path.is_file() else []
        if 'command' in attempt:
            attempts.append(attempt)
        else:
            attempts[-1].update(attempt)
        write_json(path, attempts)
        return attempts

    def finish(self, metric):
        """Take the result of a process that has ended.

        Returns:
            str | None: What went wrong.
        """
        code = self.process.returncode
        attempts = self.note(
            seconds=round(time.monotonic() - self.begin, 1), exit_code=code
        )
        if code:
            log = self.folder / 'run.log'
            tail = log.read_text(errors='replace').splitlines()[-SHOWN_LINES:]
            why = 'took too long' if self.is_late else f'exit code {code}'
            return '\n'.join(
                [
                    f'{self.name} failed ({why}); the end of {log}:',
                    *(f'    {line}' for line in tail),
                ]
            )
        values = read_metric(self.folder, metric)
        if not values:
            return (
                f'{self.name} has no {metric!r} in '
                f'{self.folder}/*/vis_data/scalars.json: correct the metric '
                'of the plan, or let the config validate and log it.'
            )
        seconds = [attempt['seconds'] for attempt in attempts]
        result = dict(
            run=self.run.name,
            seed=self.seed,
            metric=metric,
            **summarize_metric(values),
            # Unknown if the sweep itself was killed.
            seconds=None if None in seconds else sum(seconds),
            attempts=attempts,
        )
        write_json(self.folder / 'result.json', result)
        print(f'{self.name}: {metric} {result["last"]:g}', flush=True)
        return None

    def stop(self):
        """Send SIGTERM, at which tools/train.py saves where it is."""
        if self.process.poll() is None:
            self.process.terminate()

    def kill(self):
        """End the process and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def write_json(path, content):
    write_text(path, json.dumps(content, indent=1) + '\n')


def commit():
    """The commit of this project, with '-dirty' if files were changed."""
    found = subprocess.run(
        ['git', 'describe', '--always', '--dirty', '--abbrev=40']
        + ['--exclude=*'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return found.stdout.strip() or None


def make_env(gpu, jobs):
    """Environment of a training.

    Args:
        gpu (str | None): The only GPU that it shall see.
        jobs (int): How many trainings share the processor cores.

    Returns:
        dict[str, str]: Environment variables.
    """
    env = dict(os.environ)
    cores = len(os.sched_getaffinity(0))
    env.setdefault('OMP_NUM_THREADS', str(max(cores // jobs, 1)))
    if gpu is not None:
        env['CUDA_VISIBLE_DEVICES'] = gpu
    return env


def train_all(jobs, slots, metric, lock, timeout=None):
    """Train, at most one job a slot at a time.

    Args:
        jobs (list[Job]): In the order to start them.
        slots (list[str | None]): The GPU of each, None for no choice.
        metric (str): What the results are.
        lock (file): The lock of the sweep's folder.
        timeout (float, optional): Seconds that one training may take.

    Returns:
        int: Exit code: 0 if all have finished, 1 if some have failed, 128
        plus its number after a signal.
    """
    signals = []
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: signals.append(number))
    waiting = [job for job in jobs if not job.is_done]
    free, running, failures = list(slots), [], []
    lost = set()
    try:
        while (waiting or running) and not signals:
            for job in [j for j in running if j.process.poll() is not None]:
                job.kill()
                running.remove(job)
                free.append(job.slot)
                problem = job.finish(metric)
                if problem:
                    print(f'\n{problem}\n', flush=True)
                    failures.append(problem.splitlines()[0])
                    lost.add(job.run.name)
            for job in list(waiting):
                needs = {*job.run.needs}
                if needs & lost:
                    waiting.remove(job)
                    lost.add(job.run.name)
                    failures.append(
                        f'{job.name} was not started: it needs '
                        f'{", ".join(sorted(needs & lost))}.'
                    )
                elif free and not needs & {
                    other.run.name for other in waiting + running
                }:
                    waiting.remove(job)
                    job.slot = free.pop(0)
                    job.start(make_env(job.slot, len(slots)), lock)
                    running.append(job)
            for job in running:
                if timeout and time.monotonic() - job.begin > timeout:
                    job.is_late = True
                    stop_all([job])
            time.sleep(0.1)
    finally:
        stop_all(running)
    for job in running:
        job.note(
            seconds=round(time.monotonic() - job.begin, 1),
            exit_code=job.process.returncode,
        )
    if signals:
        print(
            f'\nStopped by {signal.Signals(signals[0]).name}: give the same '
            'command to go on.'
        )
        return 128 + signals[0]
    print('\n'.join(failures), flush=True)
    return 1 if failures else 0


def stop_all(jobs):
    """Let jobs save where they are, then end them."""
    for job in jobs:
        job.stop()
    end = time.monotonic() + GRACE
    for job in jobs:
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.process.wait(max(end - time.monotonic(), 0))
        job.kill()


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('plan', help='path of the plan')
    parser.add_argument(
        '--out',
        type=Path,
        help='where all results go; ./work_dirs/sweeps/PLAN by default',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='trainings at once; one for each of --gpus, else 1, by default',
    )
    parser.add_argument(
        '--gpus',
        help='GPUs to use, one for a training: 0,1; one named twice takes '
        'two trainings at once',
    )
    parser.add_argument(
        '--timeout',
        type=float,
        metavar='SECONDS',
        help='stop a training, as failed, that takes longer',
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='train nothing, show what has finished',
    )
    args = parser.parse_args()
    gpus = args.gpus.split(',') if args.gpus else None
    jobs = args.jobs or len(gpus or [1])
    if jobs < 1 or (gpus and jobs > len(gpus)):
        parser.error(
            f'--jobs {jobs} needs at least one job and a GPU for each: name '
            'a GPU twice to have two trainings on it.'
        )
    args.slots = gpus[:jobs] if gpus else [None] * jobs
    return args


@explain_errors()
def main():
    args = parse_args()
    out = args.out or Path('work_dirs', 'sweeps', Path(args.plan).stem)
    out = out.resolve()
    try:
        plan = read_plan(args.plan)
        if args.report_only:
            write_report(plan, out)
            return
        settings = {
            name: settings_of(run, plan) for name, run in plan.runs.items()
        }
        jobs = [
            Job(run, seed, out, settings[run.name])
            for run, seed in plan.order()
        ]
        for job in jobs:
            job.check()
    except PlanError as error:
        raise SystemExit(f'error: {error}') from error
    out.mkdir(parents=True, exist_ok=True)
    with open(out / '.lock', 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(
                f'error: Another sweep, or a training that it left, is at '
                f'work in {out}: wait for it, stop it, or choose another '
                'folder with --out.'
            ) from None
        code = train_all(jobs, args.slots, plan.metric, lock, args.timeout)
    write_report(plan, out)
    sys.exit(code)


if __name__ == '__main__':
    main()
