"""Checks that the distillation terms really train the student."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn as nn
from mmengine.dist import get_rank
from mmengine.logging import print_log
from torch import Tensor

from ..arguments import check_choice
from ..exceptions import MMKDRuntimeError

# Training may start with images in which the detector samples no RoI.
PATIENCE = 10
# Suffix of the name in the log.
SKIPPED = 'skipped'


class TermGuard:
    """Checks each term once thoroughly, then for NaN and Inf.

    The thorough check is in the first step in which a term has samples, on
    every rank: the backward pass must reach the term, and it must give the
    student a finite gradient that is not 0.  Samples are those with a weight,
    or those that the loss counts: its ``counted``, called as the loss itself,
    gives what is not 0 for them.  Each stage of a cascade is checked, as if it
    were a term.  After that, nothing here
    synchronizes the GPU: values are read once the engine has logged them.

    Args:
        on_nonfinite: What to do with a term that is NaN or Inf: 'raise', or
            'skip' it in that step.
        log_name: Name in the log of the percentage of skipped terms.

    Raises:
        ValueError: If ``on_nonfinite`` is something else.
    """

    def __init__(self, on_nonfinite: str, log_name: str) -> None:
        check_choice('on_nonfinite', on_nonfinite, 'raise', 'skip')
        self.skip = on_nonfinite == 'skip'
        self.log_name = log_name
        self._checked: set[str] = set()
        self._watched: set[str] = set()
        self._steps_without_samples = 0
        self._gradients: dict[str, Tensor] = {}
        self.clear()

    def clear(self) -> None:
        """Begin a step."""
        # The parts of a term, one per stage; all below is by part.
        self._parts: dict[str, list[str]] = {}
        # Smallest and largest value of each side, not the tensors.
        self._ranges: dict[str, tuple[Tensor, Tensor]] = {}
        self._counts: dict[str, Tensor] = {}
        self._finite: dict[str, Tensor] = {}

    def forget_gradients(self) -> None:
        """Forget what another pass than that of the engine has shown."""
        self._gradients.clear()

    def term(
        self, name: str, loss, factor: float, stages: Sequence[tuple]
    ) -> Tensor:
        """Compute one term, and record what :meth:`check` needs.

        Args:
            name: Its name in the log.
            loss (nn.Module): The loss.
            factor: Factor of the term.
            stages: See :func:`~mmkd_plugin.distill.stages.stages_of`; the
                loss is called with each reading.

        Returns:
            The term, a scalar; with 'skip', the part of a stage and its
            gradient are 0 if the loss is not finite there.
        """
        self._parts[name] = [
            f'{name} of {stage}' if stage else name for stage, _, _ in stages
        ]
        if self.skip:
            self._watch_parameters(name, loss)
        first, *others = (
            self._part(part, loss, factor * weight, reading)
            for part, (_, weight, reading) in zip(self._parts[name], stages)
        )
        return sum(others, first)

    def _part(self, name: str, loss, factor: float, reading: tuple) -> Tensor:
        """The term on one stage."""
        student, *rest = reading
        branches = [_branch(part) for part in tensors(student)]
        is_one = isinstance(student, Tensor)
        value = factor * loss(branches[0] if is_one else (*branches,), *rest)
        if self.skip:
            finite = value.isfinite()
            self._finite[name] = finite.detach()
            value = value.where(finite, torch.zeros_like(value))
            for branch in branches:
                if branch.requires_grad:
                    branch.register_hook(self._zeroing(finite))
        if len(branches[0]):
            self._ranges[name] = _range(branches), _range(tensors(rest[0]))
            counted = getattr(loss, 'counted', _weights)(*reading)
            if counted is not None:
                self._counts[name] = counted.count_nonzero()
            for branch in branches:
                if name not in self._checked and branch.requires_grad:
                    branch.register_hook(self._noting(name))
        return value

    def _watch_parameters(self, name: str, loss: nn.Module) -> None:
        """Skip the gradients of a loss's parameters too; hooked once."""
        if name in self._watched:
            return
        self._watched.add(name)
        for parameter in loss.parameters():
            if parameter.requires_grad:
                parameter.register_hook(
                    lambda grad: self._zeroing(self._all_finite(name))(grad)
                )

    def _all_finite(self, name: str) -> Tensor:
        """Whether a term is finite on all stages."""
        parts = [self._finite[part] for part in self._parts[name]]
        return torch.stack(parts).all()

    @staticmethod
    def _zeroing(finite: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda grad: grad.where(finite, torch.zeros_like(grad))

    def _noting(self, name: str) -> Callable[[Tensor], None]:
        """Tensor hook that notes the largest gradient of a term."""

        def note(grad: Tensor) -> None:
            largest = grad.abs().max()
            noted = self._gradients.get(name, largest)
            self._gradients[name] = torch.maximum(noted, largest)

        return note

    def skipped(self) -> dict[str, Tensor]:
        """Percentage of skipped terms of this step, for the log."""
        if not self._finite:
            return {}
        finite = torch.stack(list(self._finite.values())).float()
        return {self.log_name: 100 * (1 - finite.mean())}

    def check(
        self, values: Mapping[str, float], losses: Mapping, step: int
    ) -> None:
        """Check the last step.

        Args:
            values: Logged values of the terms.
            losses: Loss of each term by name.
            step: Number of the step, for the message.

        Raises:
            RuntimeError: If no sample reached a term in the first steps, a
                term gave no gradient in its first step, or is not finite.
        """
        for name in losses:
            if not math.isfinite(values[name]):
                raise MMKDRuntimeError(
                    f'{name} is {values[name]} at iteration {step} on rank '
                    f'{get_rank()}, {self._describe_all(name)}: lower the '
                    'learning rate or the weight of the term, or set '
                    "on_nonfinite='skip'."
                )
        if self._finite and values[self.log_name] > 0:
            parts = [part for part, ok in self._finite.items() if not ok]
            print_log(
                f'{", ".join(parts)} left out at iteration {step} on rank '
                f'{get_rank()}: not finite, {self._describe(parts[0])}.',
                'current',
                30,  # a warning
            )
        self._check_first_steps(values, losses)

    def _check_first_steps(
        self, values: Mapping[str, float], losses: Mapping
    ) -> None:
        pending = {
            part: name
            for name in losses
            for part in self._parts.get(name, [name])
            if part not in self._checked
        }
        without_samples = [
            part
            for part in pending
            if part not in self._ranges or self._counts.get(part, 1) == 0
        ]
        if without_samples:
            self._steps_without_samples += 1
            if self._steps_without_samples >= PATIENCE:
                raise MMKDRuntimeError(
                    f'No sample reached {", ".join(without_samples)} in the '
                    f'first {PATIENCE} iterations on rank {get_rank()}: there '
                    'was nothing to compare. Check that a detector has '
                    'training images with boxes, that a classifier has '
                    'several images per process, and that the head is the one '
                    'that the tap reads.'
                )
        for part, name in pending.items():
            if part in without_samples:
                continue
            self._checked.add(part)
            if getattr(losses[name], 'loss_weight', 1) == 0:
                continue
            gradient = self._gradients.pop(part, None)
            largest = 'none' if gradient is None else f'{float(gradient)}'
            giver = 'it' if part == name else part
            if gradient is None or not 0 < float(gradient) < math.inf:
                raise MMKDRuntimeError(
                    f'{name} is {values[name]} at the first step on rank '
                    f'{get_rank()}, and the largest gradient that '
                    f'{giver} gives to what it reads of the student is '
                    f'{largest}, so it does not train it '
                    f'({self._describe(part)}): check that '
                    'the student is not its own teacher, that the weights of '
                    'the loss are not 0, and that what it reads of the '
                    'student is neither frozen nor cut off from the graph by '
                    '`activation_checkpointing`, for example of the RoI '
                    'extractor.'
                )

    def _describe_all(self, name: str) -> str:
        """Ranges of the values of all parts of a term."""
        parts = self._parts.get(name, [name])
        if parts == [name]:
            return self._describe(name)
        return ', '.join(f'in {part} {self._describe(part)}' for part in parts)

    def _describe(self, part: str) -> str:
        """Ranges of the values; synchronizes the GPU."""
        return ' and '.join(
            f"the {role}'s values lie in [{low:.4g}, {high:.4g}]"
            for role, limits in zip(
                ('student', 'teacher'), self._ranges.get(part, ())
            )
            for low, high in [limits.tolist()]
        )


def tensors(part: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """The tensors of one side of a reading."""
    return [part] if isinstance(part, Tensor) else list(part)


def _weights(student: object, teacher: object, labels: object, weights: Any):
    """What tells which rows count, for a loss that does not say."""
    return weights


def _branch(part: Tensor) -> Tensor:
    """A view whose gradient is that of one term alone, at least float32.

    In float32 the engine's loss scale does not overflow.
    """
    dtype = torch.promote_types(part.dtype, torch.float32)
    return part.view_as(part).to(dtype)


def _range(parts: Sequence[Tensor]) -> Tensor:
    """Smallest and largest value, (2,)."""
    ends = [torch.stack(part.detach().aminmax()).float() for part in parts]
    both = torch.stack(ends)
    return torch.stack([both[:, 0].min(), both[:, 1].max()])
