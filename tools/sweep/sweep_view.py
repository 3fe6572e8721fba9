"""What a sweep shows while it trains: a live table, or lines in a file."""

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table
from sweep_progress import Progress, forecast, in_words

# Seconds between two looks into the folders.
INTERVAL = 1.0


class View:
    """Shows how far the trainings are.

    On a terminal it is a table of the trainings at work, which is drawn anew
    as they go on. Elsewhere, as in a file or a pipe, each start, validation
    and end is a line.

    Args:
        jobs (list[Job]): All trainings of the sweep.
        slots (int): How many are at work at once.
        console (Console, optional): Where to; by default, stdout.
    """

    def __init__(self, jobs, slots, console=None):
        self.progress = {job: Progress(job) for job in jobs}
        self.slots = slots
        self.console = console or Console()
        self.is_live = self.console.is_terminal
        self.live = Live(
            console=self.console, auto_refresh=False, transient=True
        )
        self.running, self.waiting = [], []
        self._told = {job: set() for job in jobs}
        self._next = 0.0

    def __enter__(self):
        for job, progress in self.progress.items():
            progress.start()
            self._told[job].update(progress.values)
        if self.is_live:
            self.live.start()
        return self

    def __exit__(self, *error):
        if self.is_live:
            self.live.stop()

    def say(self, line):
        """Print a line that stays."""
        self.console.print(
            line, markup=False, highlight=False, soft_wrap=True, emoji=False
        )

    def started(self, job):
        """Say that the process of a training was started."""
        self.progress[job].start()
        self._told[job] = set(self.progress[job].values)
        how = 'resumed' if job.is_resumed else 'started'
        self.say(f'{job.name}: {how}, log {job.log}')

    def finished(self, job):
        """Say what came out of a training."""
        self._tell(job)
        values = self.progress[job].values
        result = self._compare(job, max(values)) if values else ''
        self.say(f'{job.name}: finished in {in_words(job.seconds)}, {result}')
        self.say(self._whole())

    def update(self, running, waiting):
        """Look into the folders, and show what is new.

        Args:
            running (list[Job]): Those at work.
            waiting (list[Job]): Those to come.
        """
        self.running, self.waiting = [*running], [*waiting]
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + INTERVAL
        for job in running:
            self._tell(job)
        if self.is_live:
            self.live.update(self.table(), refresh=True)

    def table(self):
        """The trainings at work, and how long everything will take."""
        table = Table(caption=self._whole(), caption_justify='left')
        for title in ('run', 'seed', 'at', 'metric', 'to the baseline'):
            table.add_column(title)
        for job in self.running:
            progress = self.progress[job]
            step = max(progress.values, default=None)
            value, gain = self._values(job, step)
            table.add_row(
                job.run.name,
                str(job.seed),
                progress.position or 'begins',
                '' if value is None else f'{value:.4g}',
                '' if gain is None else f'{gain:+.4g}',
            )
        return table

    def _tell(self, job):
        """Read what a training has logged; a line for each validation."""
        progress = self.progress[job]
        progress.read()
        for step in sorted(progress.values.keys() - self._told[job]):
            self._told[job].add(step)
            if not self.is_live:
                what = self._compare(job, step)
                self.say(f'{job.name}, {progress.unit} {step}: {what}')

    def _compare(self, job, step):
        """A value, and how far it is from the baseline at the same step."""
        value, gain = self._values(job, step)
        text = f'{job.plan.metric} {value:.4g}'
        if gain is not None:
            unit = self.progress[job].unit
            text += f', {gain:+.4g} to {job.run.baseline} at the same {unit}'
        return text

    def _values(self, job, step):
        """Metric of a training, and its difference to the baseline's."""
        value = self.progress[job].values.get(step)
        for other, progress in self.progress.items():
            if (
                other is not job
                and other.run.name == job.run.baseline
                and other.seed == job.seed
            ):
                progress.read()
                if value is not None and step in progress.values:
                    return value, value - progress.values[step]
        return value, None

    def _whole(self):
        """How many have finished, and how long the others will take."""
        left = forecast(self.progress, self.running, self.waiting, self.slots)
        done = sum(job.is_done for job in self.progress)
        text = f'{done} of {len(self.progress)} trainings finished'
        if left:
            text += f', about {in_words(left)} left'
        return text
