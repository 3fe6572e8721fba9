"""One step of distillation, without a runner."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ..arguments import check_text
from ..exceptions import MMKDTypeError, MMKDValueError
from ..teachers.averaged import AveragedTeachers
from ..teachers.teacher import Teacher
from .agreement import NAMES, agreement
from .term_guard import NAME, TermGuard
from .terms import build_terms, default_tap


class Distiller:
    """Adds distillation terms to the losses of a model in training.

    Once attached, every ``model(inputs, data_samples, mode='loss')`` in
    training mode returns its dict of losses with the terms in it, and beside
    them ``kd_agreement``, the share of samples of which student and teacher
    choose the same class, and ``kd_teacher_acc``, the share of which the
    teacher chooses the label (of mixed labels, the one with the largest
    share); both in [0, 1].  What MMPretrain calls ``loss`` is then called
    ``loss_cls``, because MMEngine logs the sum of all terms as ``loss``.

    Args:
        losses: Name of each term to its loss, an ``nn.Module``, or to
            the config of one.  A config may have a ``tap`` of its own.  A
            name must contain 'loss', because MMEngine back-propagates no
            other.
        tap: Tap, or config of the tap, that reads for all
            other losses; by default the first registered one that fits the
            student.
        on_nonfinite: 'raise' or 'skip' a term that is NaN or Inf.
        log_prefix: What the names of the two shares, and of the share
            of terms that were skipped, begin with.

    Attributes:
        terms (dict[str, Term]): Loss and tap by name.
        teachers: Those attached.
        factor (float): Factor of all terms in the next step; with 0, no
            teacher runs.

    Raises:
        TypeError, ValueError: If an argument is not as said above.

    Example:
        A loop of one's own: see ``docs/other_code.md``.
    """

    def __init__(
        self,
        losses: dict,
        tap: dict | None = None,
        *,
        on_nonfinite: str = 'raise',
        log_prefix: str = 'kd',
    ) -> None:
        check_text('log_prefix', log_prefix)
        if 'loss' in log_prefix:
            raise MMKDValueError(
                "Expected argument `log_prefix` not to contain 'loss' but "
                f'got {log_prefix!r}: MMEngine would back-propagate it.'
            )
        self.terms = build_terms(losses, tap)
        self.guard = TermGuard(on_nonfinite, f'{log_prefix}_{NAME}')
        self.log_prefix = log_prefix
        self.factor = 1.0
        self.teachers: list[Teacher] = []
        self._teacher: Any = None
        self._handles: list = []

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
        """What is logged beside the terms."""
        return [f'{self.log_prefix}_{name}' for name in (*NAMES, NAME)]

    def attach(
        self,
        student: nn.Module,
        teachers: Sequence[Teacher],
        classes: Sequence[str] | None = None,
    ) -> None:
        """Connect student and teachers.

        Args:
            student: The model in training, not wrapped, on its
                device.
            teachers: One or more; of several the
                averaged probabilities teach, as logits.
            classes: The student's class names.

        Raises:
            TypeError, ValueError: If a tap cannot read one of the models, or
                student and teacher cannot be compared.
        """
        self._find_taps(student)
        for tap in self.taps:
            tap.refuse('student', student)
            if len(teachers) > 1 and not tap.per_class:
                raise MMKDTypeError(
                    f'Expected one teacher for {type(tap).__name__}, which '
                    f'reads no logits, but got {len(teachers)}: give each '
                    'teacher a hook of its own.'
                )
        for teacher in teachers:
            for tap in self.taps:
                tap.refuse('teacher', teacher.model)
            teacher.prepare(student)
            for tap in filter(lambda tap: tap.per_class, self.taps):
                teacher.match(
                    classes,
                    tap.num_classes(student),
                    tap.num_classes(teacher.model),
                    tap.background,
                )
        self.teachers = list(teachers)
        self._teacher = self.teachers[0]
        if len(self.teachers) > 1:
            self._teacher = AveragedTeachers(self.teachers)
        for tap in self.taps:
            tap.attach(student)
        # Plain functions: deepcopy would copy a bound method's object.
        self._handles = [
            student.register_forward_pre_hook(
                lambda *call: self.show(*call), with_kwargs=True
            ),
            student.register_forward_hook(
                lambda *call: self.add(*call), with_kwargs=True
            ),
        ]

    def _find_taps(self, student: nn.Module) -> None:
        """Give the terms without a tap the one that fits."""
        if any(term.tap is None for term in self.terms.values()):
            tap = default_tap(student)
            self.terms = {
                name: term if term.tap else term._replace(tap=tap)
                for name, term in self.terms.items()
            }

    def detach(self) -> None:
        """Give the student back as it was, and free the teachers."""
        for handle in self._handles:
            handle.remove()
        if self._handles:
            for tap in self.taps:
                tap.detach()
        self._handles, self.teachers, self._teacher = [], [], None

    @torch.compiler.disable
    def show(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        """Forward pre-hook of the model: show the images to the teachers.

        Now, because the maps of the student, which are kept for its backward
        pass, are not there yet: this way a teacher adds less to the peak of
        memory.
        """
        call = _loss_call(model, args, kwargs)
        if call and self.factor:
            self._teacher.see(call['inputs'], call.get('data_samples'))

    # Dynamo would drop the guard's tensor hooks.
    @torch.compiler.disable
    def add(
        self, model: nn.Module, args: tuple, kwargs: dict, output: dict
    ) -> dict | None:
        """Forward hook of the model: the losses, with the terms added.

        Raises:
            ValueError: If the model logs something under the name of a term.
        """
        call = _loss_call(model, args, kwargs)
        if not call:
            return None
        teacher = self._teacher if self.factor else None
        readings = {tap: tap.take(teacher) for tap in self.taps}
        if teacher is not None:
            teacher.forget()
        added = self._terms(readings, call['inputs'])
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
        """The terms, and what is logged beside them."""
        self.guard.clear()
        added = {}
        for name, (loss, tap) in self.terms.items():
            reading = readings[tap]
            if reading is None:
                added[name] = inputs.new_zeros(())
            elif self.factor == 0:
                # Attached: without RoIs, nothing else uses the classifier.
                added[name] = reading.student[:0].sum()
            else:
                added[name] = self.guard.term(name, loss, self.factor, reading)
        added.update(self.guard.skipped())
        for tap, reading in readings.items():
            if tap.per_class and self.factor and reading is not None:
                if len(reading.student):
                    added.update(agreement(*reading, prefix=self.log_prefix))
                break
        return added

    def check(self, values: Mapping[str, float], step: int) -> None:
        """Check the terms of the step that was just made.

        Args:
            values: By name, what was logged of it; at
                least the terms and, where terms are skipped, their share.
            step: Its number, for the message.

        Raises:
            RuntimeError: See
                :meth:`~mmkd_plugin.distill.term_guard.TermGuard.check`.
        """
        if self.factor:
            self.guard.check(values, self.losses, step)


def _loss_call(model: nn.Module, args: tuple, kwargs: dict) -> dict | None:
    """Arguments of the model's forward, if it is one that trains it."""
    call = dict(zip(('inputs', 'data_samples', 'mode'), args), **kwargs)
    return call if model.training and call.get('mode') == 'loss' else None
