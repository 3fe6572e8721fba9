"""One training of a sweep, a process of tools/train.py."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from last_words import last_words
from sweep_plan import Plan, PlanError, Run
from sweep_report import summarize_metric
from sweep_settings import first_difference, settings_of

from mmkd_plugin.checkpoints.atomic import write_text
from mmkd_plugin.reports.run_log import read_metric
from mmkd_plugin.resume.last_checkpoint import last_named

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / 'tools' / 'train.py'
# Seconds that a training has to save its state when it is stopped, and between
# two looks whether it has.
GRACE = 60
PAUSE = 0.05


@dataclass(eq=False)
class Job:
    """A run with one seed.

    In addition to what tools/train.py writes, its folder holds

    * run.log: what was printed;
    * settings.json: what must be unchanged to resume it;
    * attempts.json: command, commit, seconds, exit code and memory of every
      start: the peak of the process in MiB (``memory``), and of the GPU, if
      the log has it (``gpu_memory``);
    * result.json, once it has finished: the metric and all attempts.
    """

    plan: Plan
    run: Run
    seed: int
    out: Path
    settings: dict
    process: subprocess.Popen | None = field(default=None, repr=False)
    slot: str | None = None
    is_resumed: bool = False
    _begin: float = 0
    _is_late: bool = False
    _memory: float | None = None

    @property
    def name(self):
        return f'{self.run.name}, seed {self.seed}'

    @property
    def folder(self):
        return self.run.folder(self.out, self.seed)

    @property
    def is_done(self):
        return (self.folder / 'result.json').is_file()

    @property
    def is_begun(self):
        """Whether there is a checkpoint to resume from."""
        return last_named(self.folder) is not None

    @property
    def log(self):
        """What its process prints."""
        return self.folder / 'run.log'

    @property
    def has_ended(self):
        process = self.process
        if process.returncode is None:
            # Not `poll`, which does not tell of the memory.
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                process.returncode = os.waitstatus_to_exitcode(status)
                self._memory = round(usage.ru_maxrss / 1024, 1)
        return process.returncode is not None

    def wait(self, seconds):
        """Wait at most so long; return whether the process has ended."""
        end = time.monotonic() + seconds
        while not self.has_ended and time.monotonic() < end:
            time.sleep(PAUSE)
        return self.has_ended

    @property
    def seconds(self):
        """How long the process has been running."""
        return round(time.monotonic() - self._begin, 2)

    def check(self):
        """Refuse to resume with other settings.

        Raises:
            PlanError: If it was started with other settings.
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
            env (dict[str, str]): Its environment variables.
            lock (file): Stays locked as long as the process lives.

        Raises:
            PlanError: If a file has changed since the sweep began.
        """
        found = first_difference(
            self.settings, settings_of(self.run, self.plan)
        )
        if found:
            raise PlanError(
                'its settings have been changed since the sweep began '
                f'({found}); give the command again'
            )
        resume = self.is_resumed = self.is_begun
        self.folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            for old in self.folder.glob('*/vis_data/scalars.json'):
                old.unlink()
        command = [sys.executable, str(TRAIN), self.run.config]
        command += ['--work-dir', str(self.folder)]
        command += ['--resume'] if resume else []
        command += ['--cfg-options', *self.run.arguments(self._checkpoints())]
        command += [f'randomness.seed={self.seed}']
        write_json(self.folder / 'settings.json', self.settings)
        attempts = self._attempts() if resume else []
        attempts.append(dict(command=command, commit=commit(), seconds=None))
        write_json(self.folder / 'attempts.json', attempts)
        self._begin = time.monotonic()
        with open(self.log, 'a' if resume else 'w') as log:
            self.process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Only the sweep gets Ctrl-C, and passes it on.
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )

    def _checkpoints(self):
        """The last checkpoint of every run that this one needs."""
        found = {}
        for name in self.run.needs:
            needed = self.plan.runs[name]
            folder = needed.folder(self.out, needed.seeds[0])
            found[name] = last_named(folder)
            if found[name] is None:
                raise PlanError(f'{folder} has no last_checkpoint')
        return found

    def _attempts(self):
        path = self.folder / 'attempts.json'
        return json.loads(path.read_text()) if path.is_file() else []

    def close(self):
        """Record duration, exit code and memory of an ended process.

        Returns:
            list[dict]: All attempts.
        """
        attempts = self._attempts()
        attempts[-1].update(
            seconds=self.seconds,
            exit_code=self.process.returncode,
            memory=self._memory,
        )
        on_gpu = read_metric(self.folder, 'memory')
        if on_gpu:
            attempts[-1]['gpu_memory'] = max(on_gpu.values())
        write_json(self.folder / 'attempts.json', attempts)
        return attempts

    def finish(self):
        """Record the result of a process that has ended.

        Returns:
            str | None: What went wrong, if anything.
        """
        attempts = self.close()
        code = self.process.returncode
        if code:
            if self._is_late:
                reason = f'stopped after {self.seconds} s'
            elif code < 0:
                reason = f'ended by {signal.Signals(-code).name}'
            else:
                reason = last_words(self.log) or f'exit code {code}'
            return f'{self.name}, failed: {reason} ({self.log})'
        metric = self.plan.metric
        values = read_metric(self.folder, metric)
        if not values:
            return (
                f'{self.name}, failed: it has no {metric!r} in '
                f'{self.folder}/*/vis_data/scalars.json; correct the metric '
                'of the plan, or let the config validate and log it.'
            )
        seconds = [attempt['seconds'] for attempt in attempts]
        result = dict(
            run=self.run.name,
            seed=self.seed,
            metric=metric,
            **summarize_metric(values),
            # Unknown if the sweep itself was killed.
            seconds=None if None in seconds else round(sum(seconds), 2),
            attempts=attempts,
        )
        write_json(self.folder / 'result.json', result)
        return None

    def stop_if_later_than(self, seconds):
        """Stop the process if it has taken longer than that."""
        if not self.has_ended and self.seconds > seconds:
            self._is_late = True
            stop([self])


def stop(jobs):
    """Stop jobs; on SIGTERM, tools/train.py saves its state."""
    for job in jobs:
        job.process.terminate()
    end = time.monotonic() + GRACE
    for job in jobs:
        if not job.wait(end - time.monotonic()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.process.pid, signal.SIGKILL)
            job.wait(inf)


def commit():
    """The commit of this project, with '-dirty' if files are modified."""
    command = ['git', 'describe', '--always', '--dirty', '--abbrev=40']
    try:
        found = subprocess.run(
            [*command, '--exclude=*'], cwd=ROOT, capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None


def write_json(path, content):
    write_text(path, json.dumps(content, indent=1) + '\n')
