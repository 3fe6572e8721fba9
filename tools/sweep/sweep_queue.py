"""The trainings of a sweep, at most one per slot at a time."""

import os
import time

from sweep_job import stop
from sweep_plan import PlanError
from sweep_view import View

# Seconds between two checks of the processes.
PAUSE = 0.1


def train_all(jobs, slots, signals, **start):
    """Train.

    Args:
        jobs (list[Job]): In the order to start them.
        slots (list[str | None]): The GPU of each; None leaves the choice.
        signals (list[int]): Signals that stop the sweep, as they come.
        **start: Of :class:`Queue`.

    Returns:
        list[str]: What went wrong, a sentence for each.
    """
    with View(jobs, len(slots)) as view:
        queue = Queue(jobs, slots, view, **start)
        view.say(f'{len(queue.waiting)} of {len(jobs)} trainings to do')
        try:
            while (queue.waiting or queue.running) and not signals:
                queue.take_ended()
                queue.start()
                view.update(queue.running, queue.waiting)
                time.sleep(PAUSE)
        finally:
            stop(queue.running)
            for job in queue.running:
                job.close()
    return queue.failures


class Queue:
    """What waits, what is at work, and what has failed.

    Args:
        jobs (list[Job]): In the order to start them.
        slots (list[str | None]): The GPU of each; None leaves the choice.
        view (View): Is told what happens.
        lock (file): The lock file of the sweep's folder.
        modules (Path): Folder of the modules that ``custom_imports`` names.
        timeout (float, optional): Seconds that one training may take.
    """

    def __init__(self, jobs, slots, view, *, lock, modules, timeout=None):
        self.waiting = [job for job in jobs if not job.is_done]
        self.running, self.failures = [], []
        self._lost = set()
        self._free, self._count = list(slots), len(slots)
        self._view, self._lock, self._modules = view, lock, modules
        self._timeout = timeout

    def take_ended(self):
        """Record the results of those that have ended."""
        for job in list(self.running):
            if self._timeout is not None:
                job.stop_if_later_than(self._timeout)
            if not job.has_ended:
                continue
            self.running.remove(job)
            self._free.append(job.slot)
            problem = job.finish()
            if problem:
                self._fail(job, problem)
            else:
                self._view.finished(job)

    def start(self):
        """Start as many as there are free slots."""
        for job in list(self.waiting):
            others = {other.run.name for other in self.waiting + self.running}
            missing = self._lost.intersection(job.run.needs)
            if missing:
                names = ', '.join(sorted(missing))
                self.waiting.remove(job)
                self._fail(job, f'{job.name}, not started: it needs {names}')
            elif self._free and not others.intersection(job.run.needs):
                self.waiting.remove(job)
                env = make_env(self._free[0], self._count, self._modules)
                try:
                    job.start(env, self._lock)
                except PlanError as error:
                    self._fail(job, f'{job.name}, not started: {error}')
                    continue
                job.slot = self._free.pop(0)
                self.running.append(job)
                self._view.started(job)

    def _fail(self, job, sentence):
        self.failures.append(sentence)
        self._lost.add(job.run.name)
        self._view.say(sentence)


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
