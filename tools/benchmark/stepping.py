"""Training steps that are made one at a time, and timed by part."""

import itertools
import statistics
import time
from collections import defaultdict
from typing import NamedTuple

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor

from mmkd_plugin import DistillHook, ExactResumeHook
from mmkd_plugin.resume import randomness

# Hooks of taps on modules of the student.
RECORDING = (
    '_on_extract',
    '_on_head',
    '_on_loss',
    '_on_box_loss',
    '_record',
    '_add',
)


@LOOPS.register_module()
class SteppedLoop(EpochBasedTrainLoop):
    """MMEngine's epoch-based loop, one :meth:`step` at a time."""

    def run(self):
        """Train nothing; hooks undo what they changed for the run."""

    def begin(self):
        self.runner.call_hook('before_train')
        self._steps = self._train()

    def step(self):
        next(self._steps)

    def fetch(self, batches):
        return next(batches, None)

    def _train(self):
        while True:
            self.runner.call_hook('before_train_epoch')
            self.runner.model.train()
            batches = iter(self.dataloader)
            for index in itertools.count():
                batch = self.fetch(batches)
                if batch is None:
                    break
                self.run_iter(index, batch)
                yield
            self.runner.call_hook('after_train_epoch')
            self._epoch += 1


class Stopwatch:
    """Time of each part of a step, nested parts excluded."""

    def __init__(self, clock=time.perf_counter):
        self.steps = []
        self._clock = clock
        self._open = []

    def watch(self, owner, name, part):
        """Count the calls of a method of an object towards a part."""
        function = getattr(owner, name)

        def timed(*args, **kwargs):
            begin = self._clock()
            self._open.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                whole = self._clock() - begin
                self.steps[-1][part] += whole - self._open.pop()
                if self._open:
                    self._open[-1] += whole

        setattr(owner, name, timed)

    def medians(self):
        """Milliseconds per part: name to median over the steps."""
        parts = dict.fromkeys(part for step in self.steps for part in step)
        return {
            part: 1e3
            * statistics.median(step.get(part, 0.0) for step in self.steps)
            for part in parts
        }


def distill_hook(runner):
    """The distillation hook of a runner."""
    return next(h for h in runner.hooks if isinstance(h, DistillHook))


class Request(NamedTuple):
    """What the teacher had to compute in a step.

    Attributes:
        inputs (Tensor): The student's images, (B, 3, H, W).
        data_samples (list): One per image.
        asks (list): The different questions, see :meth:`Teacher.answer`.
        logits (tuple | None): Arguments of the first :meth:`Teacher.logits`.
        stages (dict[str, list]): What the terms were computed from, by name:
            name, factor and ``Reading`` of each stage of a cascade, otherwise
            one, detached.
        rois (dict): Tap of RoIs to what it recorded of each stage of the
            student, detached.
    """

    inputs: Tensor
    data_samples: list
    asks: list
    logits: tuple | None
    stages: dict
    rois: dict

    @property
    def reading(self):
        """What the first loss that compares rows was called with.

        None without a loss of logits or boxes; of a cascade, on its first
        stage.
        """
        for (_, _, reading), *_ in self.stages.values():
            if isinstance(reading.student, Tensor):
                return reading
        return None


def request_of(runner):
    """Make a step; return what the teacher had to compute in it."""
    distiller = distill_hook(runner).distiller
    (teacher,) = distiller.teachers
    calls = defaultdict(list)
    stages, rois = {}, defaultdict(list)

    def note(name):
        function = getattr(teacher, name)

        def noted(*args, **kwargs):
            calls[name].append(args)
            return function(*args, **kwargs)

        setattr(teacher, name, noted)

    def note_rois(tap, record):
        take = record.take

        def noted():
            found = take()
            rois[tap].append(detach(found))
            return found

        record.take = noted

    def note_term(name, loss, factor, found):
        stages[name] = detach(found)
        return term(name, loss, factor, found)

    for name in ('see', 'answer', 'logits'):
        note(name)
    term, distiller.guard.term = distiller.guard.term, note_term
    records = [
        (tap, record)
        for tap in distiller.taps
        for record in getattr(tap, '_records', [])
    ]
    for each in records:
        note_rois(*each)
    runner.train_loop.step()
    # Back to the methods of the classes.
    del teacher.see, teacher.answer, teacher.logits, distiller.guard.term
    for _, record in records:
        del record.take
    return Request(
        *calls['see'][-1],
        list(dict.fromkeys(ask for (ask,) in calls['answer'])),
        next(iter(calls['logits']), None),
        stages,
        rois,
    )


def detach(part):
    """Tensors at any depth of tuples and lists, without their graph."""
    if isinstance(part, Tensor):
        return part.detach()
    if isinstance(part, tuple) and hasattr(part, '_fields'):
        return type(part)(*map(detach, part))
    if isinstance(part, (list, tuple)):
        return type(part)(map(detach, part))
    return part


def answer(teacher, request):
    """The teacher's logits for a :class:`Request`, (N, C)."""
    teacher.see(request.inputs, request.data_samples)
    logits = teacher.logits(*request.logits)
    teacher.forget()
    return logits


def records_of(tap):
    """The objects of a tap that hold what modules gave, else the tap."""
    records = [
        *getattr(tap, '_recorders', []),
        *getattr(tap, '_records', []),
    ]
    if hasattr(tap, '_crossing') and tap._crossing is not None:
        records.append(tap._crossing._own)
    if hasattr(tap, '_record'):
        # That of a dense head has one of its modules.
        records.append(getattr(tap._record, '_record', tap._record))
    return records or [tap]


def time_parts(runner, steps, clock=time.perf_counter):
    """Milliseconds of each part of a step: name to median."""
    watch = Stopwatch(clock)
    model, optim = runner.model, runner.optim_wrapper
    distiller = distill_hook(runner).distiller
    watch.watch(runner.train_loop, 'step', "loop, and the engine's rest")
    watch.watch(runner.train_loop, 'fetch', 'data: fetch')
    watch.watch(randomness, 'seed_by', 'ExactResumeHook: seed of the batch')
    watch.watch(model.data_preprocessor, 'forward', 'data: preprocessor')
    watch.watch(model, 'forward', 'network: student and its loss')
    watch.watch(distiller, 'show', 'network: teacher')
    for teacher in distiller.teachers:
        watch.watch(teacher, 'answer', 'network: teacher')
        watch.watch(teacher, 'to_input', 'conversion of images')
        watch.watch(teacher, 'cross', "network: teacher's head, crossed")
    for tap in distiller.taps:
        for record in records_of(tap):
            for name in RECORDING:
                if hasattr(record, name):
                    watch.watch(record, name, 'tap')
        watch.watch(tap, 'take', 'tap')
    for loss in distiller.losses.values():
        watch.watch(loss, 'forward', 'network: distillation losses')
    watch.watch(optim, 'backward', 'network: backward')
    watch.watch(optim.optimizer, 'step', 'network: optimizer')
    watch.watch(distiller, 'add', 'Distiller')
    watch.watch(distiller.guard, 'term', 'TermGuard')
    watch.watch(distiller.guard, 'check', 'TermGuard')
    watch.watch(model, 'parse_losses', 'engine: parse_losses')
    watch.watch(optim, 'update_params', 'engine: optimizer wrapper')
    for each in runner.hooks:
        own = isinstance(each, (DistillHook, ExactResumeHook))
        part = type(each).__name__
        if isinstance(each, DistillHook):
            part = 'DistillHook'
        for name in ('before_train_iter', 'after_train_iter'):
            watch.watch(each, name, part if own else f'engine: {part}')
    for _ in range(steps):
        watch.steps.append(defaultdict(float))
        runner.train_loop.step()
    return watch.medians()


def print_parts(parts):
    """Print the result of :func:`time_parts` as a Markdown table."""
    whole = sum(parts.values())
    print('| part of the distilled step | ms | share |')
    print('|---|--:|--:|')
    for name in sorted(parts, key=parts.get, reverse=True):
        print(f'| {name} | {parts[name]:.3f} | {parts[name] / whole:.1%} |')
    print(f'| sum | {whole:.3f} | 100.0% |')
