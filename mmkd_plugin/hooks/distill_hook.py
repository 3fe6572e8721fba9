"""The hook that makes a runner train its model with a teacher."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, TASK_UTILS
from torch import Tensor

from ..arguments import check_switch, check_text
from ..compat import check_versions
from ..datasets.check import check_data
from ..datasets.class_names import names_of
from ..distill.agreement import shares
from ..distill.arguments import (
    build_loss,
    build_tap,
    check_losses,
    check_metrics,
    check_teachers,
)
from ..distill.term_guard import TermGuard
from ..engine.finite import FiniteSteps, refuse_nonfinite, saves_now
from ..engine.lost_rank import call_roll
from ..engine.run_scope import enclose
from ..exceptions import MMKDValueError
from ..teachers.metric import check_teacher
from ..teachers.teacher import Teacher
from .schedule import Schedule
from .start_check_hook import StartCheckHook


@HOOKS.register_module()
class DistillHook(Hook):
    """Add distillation terms to the losses of the model in training.

    The terms join the dict of losses that the model's forward returns, so
    the engine sums, scales, accumulates and logs them like any other.  The
    teacher is an attribute of this hook and never part of the model: it is
    in no checkpoint, optimiser, EMA copy or DDP bucket, and testing never
    builds it.

    Beside each term the log shows ``kd_agreement``, the share of samples of
    which student and teacher choose the same class, and ``kd_teacher_acc``,
    the share of which the teacher chooses the label (of mixed labels, the
    one with the largest share); both in [0, 1].  What MMPretrain calls
    ``loss`` is logged as ``loss_cls``, so that ``loss`` is the sum of all
    terms.

    The first step is checked on every rank: each term must be finite and
    give the student a gradient.

    Args:
        teacher (dict | list[dict]): Arguments of
            :class:`~mmkd_plugin.teachers.teacher.Teacher`, ``config`` and
            ``checkpoint`` among them.  Of several teachers the averaged
            probabilities teach, as logits; to give each its own losses, use
            one hook a teacher.
        losses (dict): Name of each term in the log to the config of its
            loss.  A name must contain 'loss', because MMEngine
            back-propagates no other.
        tap (dict, optional): Config of the tap that reads the logits;
            ``ClsHeadTap`` for image classifiers and ``RoIHeadTap`` for
            detectors by default.
        warmup, begin, end, by_epoch: See
            :class:`~mmkd_plugin.hooks.schedule.Schedule`.
        check (bool): Whether to evaluate the teacher on the validation set
            before the first step, and print its metrics.
        min_metric (dict, optional): Metrics that the teacher must reach,
            name to value; implies ``check``.
        on_nonfinite (str): 'raise' or 'skip' a term that is NaN or Inf.
        log_prefix (str): What the names of the two shares, and of the share
            of terms that were skipped, begin with.

    Raises:
        TypeError, ValueError: If an argument is not as said above.
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
        check: bool = False,
        min_metric: dict | None = None,
        on_nonfinite: str = 'raise',
        log_prefix: str = 'kd',
    ) -> None:
        self.teacher_cfgs = check_teachers(teacher, Teacher)
        check_losses(losses)
        check_text('log_prefix', log_prefix)
        if 'loss' in log_prefix:
            raise MMKDValueError(
                "Expected argument `log_prefix` not to contain 'loss' but "
                f'got {log_prefix!r}: MMEngine would back-propagate it.'
            )
        check_switch(check=check)
        check_metrics(min_metric)
        self.losses = {
            name: build_loss(name, loss) for name, loss in losses.items()
        }
        self.tap: Any = None if tap is None else build_tap(tap)
        self.guard = TermGuard(on_nonfinite, f'{log_prefix}_skipped')
        self.schedule = Schedule(warmup, begin, end, by_epoch)
        self.check = check or bool(min_metric)
        self.min_metric = min_metric
        self.log_prefix = log_prefix
        self.factor = 1.0
        self.teachers: list[Teacher] = []
        self._features: list = []
        self._handles: list = []
        self._is_attached = False
        self._steps = FiniteSteps()

    def before_run(self, runner) -> None:
        """Have the start checked, and the model given back at the end."""
        call_roll(runner)
        enclose(runner, self._training)
        if not any(isinstance(hook, StartCheckHook) for hook in runner.hooks):
            # Its priority is lower, so that this stage calls it too.
            runner.register_hook(StartCheckHook())

    @contextmanager
    def _training(self, runner) -> Iterator[None]:
        self._steps = FiniteSteps()
        try:
            yield
        finally:
            self._detach()

    def before_train(self, runner) -> None:
        """Build the teachers and connect them to the model.

        Raises:
            FileNotFoundError, TypeError, ValueError: If there is no teacher
                that fits the model.
        """
        self.schedule.check(runner)
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        package = type(model).__module__.split('.')[0]
        if package in ('mmdet', 'mmpretrain'):
            check_versions(package, 'mmcv')
        if self.tap is None:
            kind = 'ClsHeadTap' if hasattr(model, 'head') else 'RoIHeadTap'
            self.tap = TASK_UTILS.build(dict(type=kind))
        self.tap.check('student', model)
        check_data(runner, 'train', 'val')
        classes = names_of(runner.train_loop.dataloader.dataset)
        self.teachers = [Teacher(**cfg) for cfg in self.teacher_cfgs]
        for teacher in self.teachers:
            self.tap.check('teacher', teacher.model)
            teacher.prepare(model, self.tap, classes)
            runner.logger.info(
                f'{type(self).__name__}: teacher {teacher}, terms '
                f'{", ".join(self.losses)}'
            )
            if self.check:
                check_teacher(runner, teacher, self.min_metric)
        self._is_attached = True
        self.tap.attach(model)
        # Plain functions: deepcopy would copy a bound method's object.
        self._handles.append(
            model.register_forward_pre_hook(
                lambda *call: self._show(*call), with_kwargs=True
            )
        )
        self._handles.append(
            model.register_forward_hook(
                lambda *call: self._add_terms(*call), with_kwargs=True
            )
        )

    def before_train_iter(
        self, runner, batch_idx: int, data_batch=None
    ) -> None:
        """Set the factor of this iteration; hear of the last one."""
        self._steps.check()
        self.factor = self.schedule.factor_now(runner)
        if self.factor == 0:
            # The log shows the last value of a key that is not written.
            for name in ('agreement', 'teacher_acc', 'skipped'):
                runner.message_hub.log_scalars.pop(
                    f'train/{self.log_prefix}_{name}', None
                )

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Check the terms of this iteration, on all ranks together."""
        with self._steps.step(runner.iter + 1):
            self.guard.after_step(runner, self.losses, self.factor)
        if saves_now(runner):
            self._steps.check()

    def after_train_epoch(self, runner) -> None:
        """Hear of the last iteration, before anything is saved."""
        self._steps.check()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Save nothing of a step that was not finite."""
        self._steps.check()
        refuse_nonfinite(runner, checkpoint)

    def after_train(self, runner) -> None:
        """Give the model back as it was, and free the teachers."""
        self._detach()

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._is_attached:
            self._is_attached = False
            self.tap.detach()
        self.teachers = []
        self._features = []

    @torch.compiler.disable
    def _show(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        """Forward pre-hook of the model: show the images to the teachers.

        Now, because the maps of the student, which are kept for its backward
        pass, are not there yet: so a teacher adds less to the peak of memory.
        """
        call = _loss_call(model, args, kwargs)
        if call and self.factor:
            self._features = [
                teacher.features(
                    self.tap, call['inputs'], call.get('data_samples')
                )
                for teacher in self.teachers
            ]

    # Dynamo would drop the guard's tensor hooks.
    @torch.compiler.disable
    def _add_terms(
        self, model: nn.Module, args: tuple, kwargs: dict, output
    ) -> dict | None:
        """Forward hook of the model: the losses, with the terms added."""
        call = _loss_call(model, args, kwargs)
        if not call:
            return None
        record = self.tap.take()
        features, self._features = self._features, []
        if self.factor == 0 or record is None:
            zero = call['inputs'].new_zeros(())
            if record is not None:
                # Attached: without RoIs, nothing else uses the classifier.
                zero = record.logits[:0].sum()
            added = dict.fromkeys(self.losses, zero)
        else:
            teacher = self._teach(record, features)
            pair = (record.logits, teacher, record.labels, record.weights)
            added = {
                name: self.guard.term(name, loss, self.factor, pair)
                for name, loss in self.losses.items()
            }
            added.update(self.guard.skipped())
            if len(record.logits):
                added.update(shares(*pair, prefix=self.log_prefix))
        if 'loss' in output and 'loss_cls' not in output:
            # MMEngine would log it in place of the sum of all terms.
            output = {
                'loss_cls' if name == 'loss' else name: value
                for name, value in output.items()
            }
        clash = added.keys() & output.keys()
        if clash:
            raise MMKDValueError(
                f'The model already logs {min(clash)!r}: give the '
                'distillation term another name, or the hook another '
                '`log_prefix`.'
            )
        return {**output, **added}

    @torch.no_grad()
    def _teach(self, record, features: list) -> Tensor:
        """Logits of the teacher, or of the average of several, (N, C)."""
        if len(record.logits) == 0:
            return record.logits.detach()
        logits = [
            teacher.logits(self.tap, record, seen)
            for teacher, seen in zip(self.teachers, features)
        ]
        if len(logits) == 1:
            return logits[0]
        probabilities = torch.stack(logits).float().log_softmax(-1)
        return probabilities.logsumexp(0) - math.log(len(logits))


def _loss_call(model: nn.Module, args: tuple, kwargs: dict) -> dict | None:
    """Arguments of the model's forward, if it is one that trains it."""
    call = dict(zip(('inputs', 'data_samples', 'mode'), args), **kwargs)
    return call if model.training and call.get('mode') == 'loss' else None
