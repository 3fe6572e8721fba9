"""The hook that makes a runner train its model with a teacher."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.checkpoint import weights_to_cpu

from ..arguments import check_switch
from ..checkpoints.made_with import hashes, note_origin
from ..compat import check_versions
from ..datasets.check import check_data
from ..datasets.class_names import names_of
from ..datasets.labels import labels_of
from ..distill import Distiller, auto_weight
from ..distill.adopt import NAME, adopt, state_problem
from ..distill.diagnostics import leave_out_old
from ..distill.terms import numbers_of, part_read, settings_of
from ..engine.finite import FiniteSteps, refuse_nonfinite, saves_now
from ..engine.lost_rank import exchange_identities
from ..engine.run_scope import enclose
from ..exceptions import MMKDValueError
from ..summary import as_lines
from ..teachers.config import build_model, load_config
from ..teachers.inherit import (
    check_inherit,
    inherit,
    parts_with_classes,
    refuse_other_classes,
)
from ..teachers.metric import (
    check_min_metric,
    check_validation,
    refuse_weak_teacher,
)
from ..teachers.teacher import Teacher, read_teachers
from .schedule import Schedule
from .start_check_hook import StartCheckHook


@HOOKS.register_module()
class DistillHook(Hook):
    """Train the model of a runner with a teacher.

    The terms of a :class:`~mmkd_plugin.distill.Distiller` join the dict of
    losses that the model's forward returns, so the engine sums, scales,
    accumulates and logs them like any other.  The teacher is an attribute
    and never part of the model: it is in no checkpoint, optimizer, EMA copy
    or DDP bucket, and testing never builds it.

    The first step is checked on every rank: each term must be finite and
    give the student a gradient.

    Args:
        teacher: Arguments of
            :class:`~mmkd_plugin.teachers.teacher.Teacher`, ``config`` and
            ``checkpoint`` among them.  The probabilities of several teachers
            are averaged and used as logits; to give each its own losses, use
            one hook per teacher.
        losses, tap, on_nonfinite, log_prefix, task_loss: See
            :class:`~mmkd_plugin.distill.Distiller`.  Without the task loss,
            ``begin`` and ``end`` would leave steps that train nothing, and
            are refused.
        warmup, begin, end, by_epoch: See
            :class:`~mmkd_plugin.hooks.schedule.Schedule`.
        inherit: Names of modules, such as neck, rpn_head and roi_head, that
            the student copies from its one teacher before the first step.
        evaluate_teacher: Whether to evaluate the teacher on the
            validation set before the first step, and print its metrics.
        min_metric: Metrics that the teacher must reach,
            name to value; implies ``evaluate_teacher``.

    Raises:
        TypeError, ValueError: If an argument is invalid.
    """

    def __init__(
        self,
        teacher: dict | list[dict],
        losses: dict[str, dict],
        tap: dict | None = None,
        warmup: int = 0,
        begin: int = 0,
        end: int | None = None,
        by_epoch: bool = True,
        inherit: Sequence[str] = (),
        evaluate_teacher: bool = False,
        min_metric: dict | None = None,
        on_nonfinite: str = 'raise',
        log_prefix: str = 'kd',
        task_loss: bool = True,
    ) -> None:
        self.teacher_cfgs = read_teachers(teacher)
        self.loss_cfgs, self.tap_cfg = losses, tap
        check_switch(evaluate_teacher=evaluate_teacher)
        check_min_metric(min_metric)
        self.distiller = Distiller(
            losses,
            tap,
            on_nonfinite=on_nonfinite,
            log_prefix=log_prefix,
            task_loss=task_loss,
        )
        self.schedule = Schedule(warmup, begin, end, by_epoch)
        if not task_loss and (begin or end is not None):
            raise MMKDValueError(
                'Expected no `begin` and `end` with `task_loss=False`, but '
                f'got begin={begin} and end={end}, which leave steps without '
                'any loss: leave them out, or train with the task loss.'
            )
        check_inherit(inherit, len(self.teacher_cfgs))
        self.inherit = tuple(inherit)
        self.evaluate_teacher = evaluate_teacher or bool(min_metric)
        self.min_metric = min_metric
        self._steps = FiniteSteps()
        self._files: dict[str, str] = {}

    def before_run(self, runner) -> None:
        """Prepare the check of the start and the detach at the end."""
        exchange_identities(runner)
        enclose(runner, self._training)
        self._adopt(runner)
        if not any(isinstance(hook, StartCheckHook) for hook in runner.hooks):
            # Its priority is lower, so this stage still calls it.
            runner.register_hook(StartCheckHook())

    def _adopt(self, runner) -> None:
        """Give the losses with parameters, of all hooks, to the optimizer."""
        if not isinstance(runner._train_loop, BaseLoop):
            return  # a run without training
        losses: dict = {}
        for hook in runner.hooks:
            if isinstance(hook, DistillHook):
                hook._measure(runner)
                losses.update(hook.distiller.trainable)
        if losses:
            adopt(runner, losses)

    def _measure(self, runner) -> None:
        """Build the losses whose channels are to be measured."""
        if not self.distiller.unmeasured:
            return
        student = runner.model
        if is_model_wrapper(student):
            student = student.module
        # The teacher itself comes when the student has its weights.
        teacher = build_model(load_config(self.teacher_cfgs[0]['config']))
        teacher.to(next(student.parameters()).device)
        self.distiller.measure(student, teacher)

    @contextmanager
    def _training(self, runner) -> Iterator[None]:
        self._steps = FiniteSteps()
        try:
            yield
        finally:
            self.distiller.detach()

    def before_train(self, runner) -> None:
        """Build the teachers and connect them to the model.

        Raises:
            FileNotFoundError, TypeError, ValueError: If a teacher cannot be
                built, or does not fit the model.
        """
        self.schedule.check(runner)
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        package = type(model).__module__.split('.')[0]
        if package in ('mmdet', 'mmpretrain'):
            check_versions(package, 'mmcv')
        if self.evaluate_teacher:
            check_validation(runner)
        check_data(runner, 'train', 'val')
        teachers = [Teacher(**cfg) for cfg in self.teacher_cfgs]
        if self.inherit and runner.iter == 0:  # not when resumed
            copied = inherit(model, teachers[0].model, self.inherit)
            runner.logger.info(
                f'{type(self).__name__}: the student starts with these '
                f'weights of {teachers[0].source}: {copied}'
            )
        dataset = runner.train_loop.dataloader.dataset
        classes = names_of(dataset)
        self.distiller.attach(model, teachers, classes)
        for loss in self.distiller.losses.values():
            see_dataset = getattr(loss, 'see_dataset', None)
            if see_dataset is not None:
                see_dataset(labels_of(dataset))
        self.distiller.cache(model, dataset)
        with_classes = parts_with_classes(self.inherit)
        if (self.evaluate_teacher or with_classes) and not any(
            tap.per_class for tap in self.distiller.taps
        ):
            for teacher in teachers:
                teacher.match_names(classes)
        refuse_other_classes(with_classes, teachers[0])
        for teacher in self.distiller.teachers:
            title = f'{type(self).__name__}: teacher {teacher}'
            runner.logger.info(
                as_lines(title, self._describe(runner, teacher))
            )
            if self.evaluate_teacher:
                refuse_weak_teacher(runner, teacher, self.min_metric)
        self._files = hashes(t['checkpoint'] for t in self.teacher_cfgs)
        # Last: a teacher whose answers are all there is freed.
        for cached in self.distiller.cached:
            runner.logger.info(f'{type(self).__name__}: {cached.verify()}')

    def _describe(self, runner, teacher) -> dict[str, str]:
        """What is distilled from a teacher, by the names of the terms."""
        rows = {}
        for name, (loss, tap) in self.distiller.terms.items():
            weight = self.distiller.auto_weights.get(name)
            rows[name] = (
                f'{numbers_of(loss)} of {part_read(tap, teacher.model)} by '
                f'{settings_of(tap)}{f", times {weight}" if weight else ""}'
            )
        rows['schedule'] = self.schedule.describe(runner)
        if not self.distiller.task_loss:
            rows['task'] = "the student's own losses do not train it"
        return rows

    def before_train_iter(
        self, runner, batch_idx: int, data_batch=None
    ) -> None:
        """Set the factor of this iteration; raise if the last one failed."""
        self._steps.check()
        self.distiller.factor = self.schedule.factor_now(runner)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Check the terms of this iteration on all ranks."""
        scalars = runner.message_hub.log_scalars
        diagnostics = self.distiller.diagnostics
        leave_out_old(scalars, diagnostics, outputs or {})
        with self._steps.step(runner.iter + 1):
            names = [*self.distiller.terms, *diagnostics]
            self.distiller.check(
                {
                    name: scalars[f'train/{name}'].current()
                    for name in names
                    if f'train/{name}' in scalars
                },
                runner.iter + 1,
            )
        if saves_now(runner):
            self._steps.check()

    def after_train_epoch(self, runner) -> None:
        """Raise if the last iteration failed, before anything is saved."""
        self._steps.check()

    def state_problem(self, checkpoint: dict) -> str | None:
        """Why this hook cannot go on from a checkpoint; None if it can."""
        return state_problem(
            self.distiller.trainable, checkpoint
        ) or auto_weight.state_problem(self.distiller.auto_weights, checkpoint)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Restore what the losses have learnt when a training is resumed.

        Raises:
            ValueError: If the checkpoint does not hold them.
        """
        if not runner._resume:
            return
        problem = self.state_problem(checkpoint)
        if problem:
            raise MMKDValueError(
                f'The checkpoint to resume from {problem}: resume from one '
                'of the same training, or give it as `load_from`, without '
                '`resume`, for a new one.'
            )
        for name, loss in self.distiller.trainable.items():
            loss.load_state_dict(checkpoint[NAME][name])
        for name, weight in self.distiller.auto_weights.items():
            weight.load(checkpoint[auto_weight.NAME][name])

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add what the training was made with, and what resuming needs.

        Raises:
            RuntimeError: If the last step was not finite.
        """
        self._steps.check()
        note_origin(checkpoint, self._files)
        if 'optimizer' in checkpoint:
            for name, loss in self.distiller.trainable.items():
                state = weights_to_cpu(loss.state_dict())
                checkpoint.setdefault(NAME, {})[name] = state
            for name, weight in self.distiller.auto_weights.items():
                states = checkpoint.setdefault(auto_weight.NAME, {})
                states[name] = weight.state()
        refuse_nonfinite(runner, checkpoint)

    def after_train(self, runner) -> None:
        """Remove all hooks from the model, and free the teachers."""
        self.distiller.detach()
