"""A training step that waits to be asked for, and can be taken apart."""

import itertools
import statistics
import time
from collections import defaultdict

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop

from mmkd_plugin import DistillHook, ExactResumeHook, randomness


@LOOPS.register_module()
class SteppedLoop(EpochBasedTrainLoop):
    """MMEngine's loop by epochs, which waits to be asked for each step."""

    def run(self):
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
    """Time of the parts of a step, without that of parts within them."""

    def __init__(self):
        self.steps = []
        self._open = []

    def watch(self, owner, name, part):
        """Count the calls of a function of an object as a part."""
        function = getattr(owner, name)

        def timed(*args, **kwargs):
            begin = time.perf_counter()
            self._open.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.perf_counter() - begin
                self.steps[-1][part] += whole - self._open.pop()
                if self._open:
                    self._open[-1] += whole

        setattr(owner, name, timed)

    def medians(self):
        """Milliseconds of each part: name to median over the steps."""
        parts = dict.fromkeys(part for step in self.steps for part in step)
        return {
            part: 1e3
            * statistics.median(step.get(part, 0.0) for step in self.steps)
            for part in parts
        }


def distill_hook(runner):
    """The hook of a runner that distils."""
    return next(h for h in runner.hooks if isinstance(h, DistillHook))


def take_apart(runner, steps):
    """Milliseconds of the parts of a step: name to median."""
    watch = Stopwatch()
    model, optim = runner.model, runner.optim_wrapper
    hook = distill_hook(runner)
    watch.watch(runner.train_loop, 'step', "loop, and the engine's rest")
    watch.watch(runner.train_loop, 'fetch', 'data: fetch')
    watch.watch(randomness, 'seed_by', 'ExactResumeHook: seed of the batch')
    watch.watch(model.data_preprocessor, 'forward', 'data: preprocessor')
    watch.watch(model, 'forward', 'network: student and its loss')
    watch.watch(hook, '_teach', 'network: teacher')
    for loss in hook.losses.values():
        watch.watch(loss, 'forward', 'network: distillation losses')
    watch.watch(optim, 'backward', 'network: backward')
    watch.watch(optim.optimizer, 'step', 'network: optimizer')
    watch.watch(hook, '_add_terms', 'DistillHook')
    watch.watch(hook.guard, 'term', 'TermGuard')
    watch.watch(hook.guard, 'after_step', 'TermGuard')
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
