"""One step of distillation, without a runner."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn as nn
from mmengine.logging import print_log
from torch import Tensor

from ..arguments import check_switch, check_text, few
from ..exceptions import MMKDTypeError, MMKDValueError
from ..teachers.averaged import AveragedTeachers
from ..teachers.cache.cached_teacher import CachedTeacher
from ..teachers.teacher import Teacher
from . import auto_weight
from .agreement import AGREEMENT, FOREGROUND, agreement
from .auto_weight import AutoWeight, without_auto
from .diagnostics import asked, log_name, named
from .measured import is_auto, measured
from .pulls import Heard, measure, outputs_of
from .stages import take
from .task_loss import attached_zero, without_losses
from .term_guard import SKIPPED, TermGuard, tensors
from .terms import LOGITS, build_loss, build_terms, default_tap, kind_of


class Distiller:
    """Adds distillation terms to the losses of a model in training.

    Once attached, every ``model(inputs, data_samples, mode='loss')`` in
    training mode returns its dict of losses with the terms added, along with
    ``kd_agreement``, for how many samples student and teacher predict the same
    class, and ``kd_teacher_acc``, for how many the teacher predicts the label
    (of mixed labels, the largest); both in percent, as the accuracies that
    MMDetection and MMPretrain log.  Of an RoI head, ``kd_fg_agreement`` and
    ``kd_fg_teacher_acc`` are those of the foreground RoIs alone.  They are NaN
    in a step without a sample to count, and the hook then logs none.
    A loss may have diagnostics of its own, see
    :func:`~mmkd_plugin.distill.diagnostics.asked`: ``kd_gap_ckd`` is that of
    CKD.
    A term of a cascade is the sum over its stages; all these numbers are those
    of the first stage, whose RoIs are the proposals, as of a Faster R-CNN.
    MMPretrain's ``loss`` is renamed to ``loss_cls``, because MMEngine logs
    the sum of all terms as ``loss``.

    Args:
        losses: Name of each term to its loss, an ``nn.Module``, or to its
            config.  A config may have its own ``tap``.  A name must contain
            'loss', because MMEngine back-propagates nothing else.  Losses of
            features and boxes have a default tap.  With
            ``loss_weight='auto'`` a config leaves its weight to be found in
            the first steps, see :class:`.AutoWeight`, and may have ``pull``.
        tap: Tap, or its config, for the losses of logits without one; by
            default the first registered one that fits the student.
        on_nonfinite: 'raise' or 'skip' a term that is NaN or Inf.
        log_prefix: Prefix of the names of the agreement, the teacher's
            accuracy, the percentage of skipped terms, and so on.
        task_loss: Whether the student's own losses train it too.  False: only
            the terms do, those of all hooks; its own losses are logged with
            'task' in place of 'loss', as ``kd_task`` for MMPretrain's
            ``loss``.

    Attributes:
        terms (dict[str, Term]): Loss and tap by name.
        auto_weights (dict[str, AutoWeight]): Of the terms whose weight sets
            itself.
        teachers: The attached teachers.
        cached: Those of them that answer from a folder, see :meth:`cache`.
        factor (float): Factor of all terms in the next step; at 0, no
            teacher runs.

    Raises:
        TypeError, ValueError: If an argument is invalid.

    Example:
        Your own training loop: see ``docs/other_code.md``.
    """

    def __init__(
        self,
        losses: dict,
        tap: dict | None = None,
        *,
        on_nonfinite: str = 'raise',
        log_prefix: str = 'kd',
        task_loss: bool = True,
    ) -> None:
        check_switch(task_loss=task_loss)
        check_text('log_prefix', log_prefix)
        if 'loss' in log_prefix:
            raise MMKDValueError(
                "Expected argument `log_prefix` not to contain 'loss' but "
                f'got {log_prefix!r}: MMEngine would back-propagate it.'
            )
        self.auto_weights: dict[str, AutoWeight] = {}
        if isinstance(losses, dict):
            self.auto_weights = {
                name: AutoWeight(name, cfg.get('pull', 1.0))
                for name, cfg in losses.items()
                if auto_weight.is_auto(cfg)
            }
            losses = {n: without_auto(n, cfg) for n, cfg in losses.items()}
        if self.auto_weights and not task_loss:
            raise MMKDValueError(
                f'Expected a number as `loss_weight` of `losses.'
                f'{min(self.auto_weights)}` with `task_loss=False` but got '
                "'auto', which compares the term with the losses of the "
                'task: give it a number.'
            )
        self.terms = build_terms(losses, tap)
        # Losses whose channels are measured once there is a student.
        self._auto = {n: cfg for n, cfg in losses.items() if is_auto(cfg)}
        self.guard = TermGuard(on_nonfinite, f'{log_prefix}_{SKIPPED}')
        self.log_prefix = log_prefix
        self.task_loss = task_loss
        self.factor = 1.0
        self.teachers: list[Teacher] = []
        self.cached: list[CachedTeacher] = []
        self._teacher: Any = None
        self._handles: list = []
        self._attached: list = []
        self._outputs: dict[str, list[Tensor]] = {}
        self._listening = ExitStack()
        self._task: set[str] = set()
        self._told: set[str] = set()

    @property
    def losses(self) -> dict[str, nn.Module]:
        """The loss of each term."""
        return {name: term.loss for name, term in self.terms.items()}

    @property
    def taps(self) -> list:
        """The taps of the terms, each once."""
        return list(dict.fromkeys(term.tap for term in self.terms.values()))

    @property
    def diagnostics(self) -> list[str]:
        """Names of what is logged in addition to the terms."""
        names = [
            f'{self.log_prefix}_{name}'
            for name in (*AGREEMENT, *FOREGROUND, SKIPPED)
        ]
        weights = [*map(self._weight_name, self.auto_weights)]
        return names + weights + sorted(self._told)

    def _weight_name(self, name: str) -> str:
        """How the weight of a term is logged."""
        return log_name(self.log_prefix, 'weight', name)

    @property
    def trainable(self) -> dict[str, nn.Module]:
        """The losses that have parameters, which an optimizer must train."""
        return {
            name: loss
            for name, loss in self.losses.items()
            if any(p.requires_grad for p in loss.parameters())
        }

    def attach(
        self,
        student: nn.Module,
        teachers: Sequence[Teacher],
        classes: Sequence[str] | None = None,
    ) -> None:
        """Connect student and teachers, in place of those attached before.

        Args:
            student: The model in training, not wrapped, on its device.
            teachers: One or more; of several, the probabilities are averaged
                and used as logits.
            classes: The student's class names.

        Raises:
            TypeError, ValueError: If a tap cannot read one of the models, or
                student and teacher cannot be compared.
        """
        if not teachers:
            raise MMKDValueError(
                'Expected argument `teachers` to hold at least one `Teacher` '
                f'but got {teachers!r}.'
            )
        self.detach()
        self._find_taps(student)
        self.measure(student, teachers[0].model)
        for tap in self.taps:
            tap.refuse('student', student)
            if len(teachers) > 1 and not _compares_classes(tap):
                raise MMKDTypeError(
                    f'Expected one teacher for {type(tap).__name__}, which '
                    f'averages no probabilities, but got {len(teachers)}: '
                    'give each teacher its own hook.'
                )
        for teacher in teachers:
            for tap in self.taps:
                tap.refuse('teacher', teacher.model)
                _check_size(tap, teacher)
            teacher.prepare(
                student,
                intact=any(getattr(tap, 'intact', False) for tap in self.taps),
            )
            for tap in filter(lambda tap: tap.per_class, self.taps):
                teacher.match(
                    classes,
                    tap.num_classes(student),
                    tap.num_classes(teacher.model),
                    tap.background,
                    least=_least_classes(tap),
                )
        _refuse_other_missing(teachers)
        self.teachers = list(teachers)
        self._teacher = _as_one(self.teachers)
        self._attached = self.taps
        for tap in self._attached:
            tap.attach(student, self.teachers[0].model)
        for loss in self.losses.values():
            read_teacher: Any = getattr(loss, 'read_teacher', None)
            if read_teacher:
                read_teacher(self.teachers[0])
            # A file that a loss needs is missed now, not at its first step.
            prepare: Any = getattr(loss, 'prepare', None)
            found = prepare and prepare()
            if found:
                print_log(found, logger='current')
        # Plain functions: deepcopy would copy a bound method's object.
        self._handles = [
            student.register_forward_pre_hook(
                lambda *call: self.show(*call), with_kwargs=True
            ),
            student.register_forward_hook(
                lambda *call: self.add(*call), with_kwargs=True
            ),
        ]
        self._listen(student)
        if not self.task_loss:
            # First of all hooks, so before others have added their terms.
            self._handles.append(
                student.register_forward_hook(
                    lambda *call: self.drop(*call),
                    prepend=True,
                    with_kwargs=True,
                )
            )

    def _listen(self, student: nn.Module) -> None:
        """Record what the weights that are not set yet are measured at."""
        taps = [
            self.terms[name].tap
            for name, weight in self.auto_weights.items()
            if not weight.is_set
        ]
        if taps:
            self._outputs = self._listening.enter_context(
                outputs_of(student, taps)
            )
            # Before the terms of other hooks are among the losses.
            handle = student.register_forward_hook(
                lambda model, args, output: self._note_task(output),
                prepend=True,
            )
            self._listening.callback(handle.remove)

    def _note_task(self, output: Any) -> None:
        """Note the names of the student's own losses."""
        if isinstance(output, dict):
            self._task = {*output}

    @property
    def unmeasured(self) -> bool:
        """Whether losses wait for :meth:`measure`."""
        return bool(self._auto)

    def measure(self, student: nn.Module, teacher: nn.Module) -> None:
        """Build the losses whose channels are 'auto', once.

        :meth:`attach` does so too.  Their parameters are others afterwards.

        Args:
            student: Not wrapped.
            teacher: A model with the teacher's config; its weights do not
                matter.

        Raises:
            TypeError: If a tap cannot read one of the models.
        """
        for name, cfg in self._auto.items():
            tap = self.terms[name].tap
            for role, model in (('student', student), ('teacher', teacher)):
                tap.refuse(role, model)
            cfg = measured(name, cfg, tap, student, teacher)
            cfg.pop('tap', None)
            loss = build_loss(name, cfg)
            self.terms[name] = self.terms[name]._replace(loss=loss)
        self._auto = {}

    def cache(self, student: nn.Module, data: Any) -> None:
        """Let the attached teachers with a ``cache`` answer from it.

        Args:
            student: As in :meth:`attach`.
            data: The training data, see
                :func:`~mmkd_plugin.datasets.replayable.replayable`.

        Raises:
            TypeError, ValueError, OSError: If a tap asks for more than the
                logits of images, or see
                :class:`.CachedTeacher`.
        """
        if not any(teacher.cache for teacher in self.teachers):
            return
        for tap in self.taps:
            if not hasattr(tap, 'question'):
                raise MMKDTypeError(
                    f'{type(tap).__name__} reads more of the teacher than '
                    'the logits of images, which alone are cached: take '
                    '`cache` out of `teacher`, or give the hook only losses '
                    'of image logits.'
                )
        tap = self.taps[0]
        self.cached = [
            CachedTeacher(
                teacher,
                student,
                data,
                tap.question,
                tap.num_classes(teacher.model),
            )
            for teacher in self.teachers
            if teacher.cache
        ]
        found = {each.teacher: each for each in self.cached}
        self._teacher = _as_one([found.get(t, t) for t in self.teachers])

    def _find_taps(self, student: nn.Module) -> None:
        """Give the terms without a tap the default tap of the student."""
        if any(term.tap is None for term in self.terms.values()):
            tap = default_tap(student)
            self.terms = {
                name: term if term.tap else term._replace(tap=tap)
                for name, term in self.terms.items()
            }

    def detach(self) -> None:
        """Remove all hooks from the student, and free the teachers."""
        for handle in self._handles:
            handle.remove()
        for tap in self._attached:
            tap.detach()
        self._listening.close()
        self._outputs = {}
        self._handles, self._attached = [], []
        self.teachers, self.cached, self._teacher = [], [], None

    @torch.compiler.disable
    def show(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        """Forward pre-hook of the model: show the images to the teachers.

        Before the student's forward, whose feature maps are kept for the
        backward pass: this way a teacher adds less to the peak memory.
        """
        call = _loss_call(model, args, kwargs)
        if call and self.factor:
            self._teacher.see(call['inputs'], call.get('data_samples'))

    @torch.compiler.disable
    def drop(
        self, model: nn.Module, args: tuple, kwargs: dict, output: dict
    ) -> dict | None:
        """Forward hook of the model: keep its own losses for the log only."""
        if not _loss_call(model, args, kwargs):
            return None
        return without_losses(output, self.log_prefix)

    # Dynamo would drop the guard's tensor hooks.
    @torch.compiler.disable
    def add(
        self, model: nn.Module, args: tuple, kwargs: dict, output: dict
    ) -> dict | None:
        """Forward hook of the model: add the terms to its losses.

        Raises:
            ValueError: If the model logs a value under the name of a term.
        """
        call = _loss_call(model, args, kwargs)
        if not call:
            return None
        teacher = self._teacher if self.factor else None
        readings = {tap: take(tap, teacher) for tap in self.taps}
        if teacher is not None:
            teacher.forget()
        # In float32: sums over maps, and squares, overflow in half precision.
        with torch.autocast(call['inputs'].device.type, enabled=False):
            added = self._terms(readings, call['inputs'])
            self._weigh(model, output, added, readings)
        if not self.task_loss:
            name = next(iter(self.terms))
            added[name] = added[name] + attached_zero(model)
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

    def _terms(self, readings: dict, inputs: Tensor) -> dict[str, Tensor]:
        """The terms, and what is logged in addition to them."""
        self.guard.clear()
        added, notes = {}, {}
        for name, (loss, tap) in self.terms.items():
            stages = readings[tap]
            if self.factor and stages:
                with asked(loss) as found:
                    added[name] = self.guard.term(
                        name, loss, self.factor, stages
                    )
                if found:
                    notes.update(named(found[0], self.log_prefix, name))
                continue
            # Attached: without RoIs, nothing else uses the classifier, and
            # without a reading nothing uses the parameters of the loss.
            used = [x for stage in stages for x in tensors(stage[2].student)]
            used += [p.flatten() for p in loss.parameters() if p.requires_grad]
            added[name] = sum(
                (x[:0].sum() for x in used), inputs.new_zeros(())
            )
        self._told.update(notes)
        added.update(notes)
        added.update(self.guard.skipped())
        for tap, stages in readings.items():
            if _compares_classes(tap) and self.factor and stages:
                reading = stages[0][2]
                if len(reading.student):
                    added.update(
                        agreement(
                            *reading,
                            prefix=self.log_prefix,
                            background=tap.background,
                        )
                    )
                break
        return added

    def _weigh(
        self, model: nn.Module, output: dict, added: dict, readings: dict
    ) -> None:
        """Give the terms in ``added`` the weights that set themselves."""
        if not (self.factor and self.auto_weights):
            return
        waiting = [w for w in self.auto_weights.values() if not w.is_set]
        device = next(iter(added.values())).device
        if waiting:
            stages = {n: readings[tap] for n, (_, tap) in self.terms.items()}
            own = {
                name: value
                for name, value in output.items()
                # The first of several hooks has given it this name.
                if name in self._task or name == 'loss_cls'
            }
            heard = Heard(stages, self._outputs)
            found = measure(model, {**own, **added}, heard, self)
            self._outputs.clear()
            self.guard.forget_gradients()
            pulls = {
                name: pull.ratio and pull.ratio / self.factor
                for name, pull in found.items()
            }
            for sentence in auto_weight.update(waiting, pulls, device):
                print_log(sentence, logger='current')
            if all(weight.is_set for weight in self.auto_weights.values()):
                self._listening.close()
        for name, weight in self.auto_weights.items():
            added[name] = weight.value * added[name]
            added[self._weight_name(name)] = torch.tensor(
                weight.value, device=device
            )

    def check(self, values: Mapping[str, float], step: int) -> None:
        """Check the terms of the last step.

        Args:
            values: Logged values by name; at least the terms and, where
                terms are skipped, their fraction.
            step: Its number, for the message.

        Raises:
            RuntimeError: See
                :meth:`~mmkd_plugin.distill.term_guard.TermGuard.check`.
        """
        if self.factor:
            self.guard.check(values, self.losses, step)


def _as_one(teachers: Sequence) -> Any:
    """What acts as all of some teachers."""
    return teachers[0] if len(teachers) == 1 else AveragedTeachers(teachers)


def _check_size(tap, teacher: Teacher) -> None:
    """Raise unless a tap can read a teacher of resized images."""
    if teacher.input_size is None or getattr(tap, 'any_size', False):
        return
    raise MMKDTypeError(
        f'{type(tap).__name__} reads the teacher at places of the '
        "student's images, but `input_size` in `teacher` resizes the "
        "teacher's: take it out, or use a loss of feature maps or of image "
        'classes.'
    )


def _is_crossed(tap) -> bool:
    """Whether a tap reads the teacher's head on the student's maps."""
    return getattr(tap, 'crossed', False)


def _compares_classes(tap) -> bool:
    """Whether a tap reads the class logits of both models."""
    is_logits = tap.per_class and kind_of(tap) == LOGITS
    return is_logits and not _is_crossed(tap)


def _least_classes(tap) -> int:
    """How many classes both must know: a softmax needs two columns."""
    return 1 if tap.background or kind_of(tap) != LOGITS else 2


def _refuse_other_missing(teachers: Sequence[Teacher]) -> None:
    """Refuse teachers that know other classes of the student.

    Raises:
        ValueError: If there are such.
    """
    first, *others = teachers
    for other in others:
        if first.missing_names != other.missing_names:
            raise MMKDValueError(
                'Expected teachers whose probabilities are averaged to know '
                'the same classes of the student, but '
                f'{first.source} lacks {few(first.missing_names) or "none"} '
                f'and {other.source} lacks '
                f'{few(other.missing_names) or "none"}: give each teacher its '
                'own hook.'
            )


def _loss_call(model: nn.Module, args: tuple, kwargs: dict) -> dict | None:
    """Arguments of a forward call, if it computes the training losses."""
    call = dict(zip(('inputs', 'data_samples', 'mode'), args), **kwargs)
    return call if model.training and call.get('mode') == 'loss' else None
