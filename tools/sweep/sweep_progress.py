"""How far the trainings of a sweep are, and how long they will take."""

import heapq
import json
import re

from mmkd_plugin.reports.run_log import read_records, series

# MMEngine's log; the only place that has the iterations of an epoch.
LENGTH = re.compile(r'Epoch\(train\)\s+\[\d+\]\[ *\d+/(\d+)\]')


class Progress:
    """How far one training is, read from its folder.

    Args:
        job (Job): The training.

    Attributes:
        unit (str): 'epoch' or 'iteration', by which it counts.
        values (dict[int, float]): Its metric by epoch or iteration.
        position (str): Such as 'epoch 2 of 10'; empty if nothing is logged.
        share (float): How much of the training is done, in [0, 1].
        first_share (float): That when its process was started.
    """

    def __init__(self, job):
        self.job = job
        self.loop = job.settings['config'].get('train_cfg') or {}
        self.unit = 'epoch' if self.loop.get('max_epochs') else 'iteration'
        self.values = {}
        self.position = ''
        self.share = self.first_share = 0.0
        self._sizes = self._length = None

    def read(self):
        """Read again if the log has grown."""
        folder = self.job.folder
        logs = folder.glob('*/vis_data/scalars.json')
        sizes = {path: path.stat().st_size for path in logs}
        if sizes == self._sizes:
            return
        self._sizes = sizes
        records = read_records(folder)
        self.values = series(records, self.job.plan.metric)
        trained = [record for record in records if 'iter' in record]
        if not trained:
            return
        last, whole = trained[-1]['iter'], self.loop.get('max_iters')
        if self.loop.get('max_epochs'):
            epoch, epochs = trained[-1]['epoch'], self.loop['max_epochs']
            self.position = f'epoch {epoch} of {epochs}'
            whole = (self._iterations_per_epoch() or 0) * epochs
        elif whole:
            self.position = f'iteration {last} of {whole}'
        self.share = min(last / whole, 1.0) if whole else 0.0

    def start(self):
        """Take what the log has for that of earlier processes."""
        self.read()
        self.first_share = self.share

    def _iterations_per_epoch(self):
        log = self.job.log
        if self._length is None and log.is_file():
            found = LENGTH.search(log.read_text(errors='replace'))
            self._length = int(found[1]) if found else None
        return self._length

    def duration(self):
        """Seconds that the whole training takes; None if not known yet."""
        if self.job.is_done:
            text = (self.job.folder / 'result.json').read_text()
            return json.loads(text)['seconds']
        done = self.share - self.first_share
        if self.job.process is None or done <= 0:
            return None
        return self.job.seconds / done


def forecast(jobs, running, waiting, slots):
    """Seconds until all trainings of a sweep have ended.

    Args:
        jobs (dict[Job, Progress]): All trainings.
        running (list[Job]): Those at work.
        waiting (list[Job]): Those to come, in order.
        slots (int): How many are at work at once.

    Returns:
        float | None: None as long as nothing is known of any of them.
    """
    known = {}
    for job, progress in jobs.items():
        seconds = progress.duration()
        if seconds is not None:
            known.setdefault(job.run.name, []).append(seconds)
    if not known:
        return None
    mean = {name: sum(found) / len(found) for name, found in known.items()}
    other = sum(mean.values()) / len(mean)

    def left(job):
        whole = mean.get(job.run.name, other)
        return 0.0 if job.is_done else whole * (1 - jobs[job].share)

    ends = [left(job) for job in running]
    return time_left(ends, [left(job) for job in waiting], slots)


def time_left(running, waiting, slots):
    """Seconds until the last training has ended.

    Args:
        running (list[float]): Seconds that each one at work still needs.
        waiting (list[float]): Seconds that each one to come needs; whichever
            slot is free first takes the next.
        slots (int): How many are at work at once.

    Returns:
        float: 0 if there is none.
    """
    ends = [*running, *[0.0] * (slots - len(running))]
    heapq.heapify(ends)
    for seconds in waiting:
        heapq.heappush(ends, heapq.heappop(ends) + seconds)
    return max(ends)


def in_words(seconds):
    """A duration for people: '40 s', '12 min', '3 h 20 min', '2 d 4 h'."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f'{days} d {hours} h'
    return f'{hours} h {minutes} min' if hours else f'{minutes} min'
