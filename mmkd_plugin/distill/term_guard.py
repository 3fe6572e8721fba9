"""Checks that the distillation terms really train the student."""

import math
from collections.abc import Mapping

import torch
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
    student a finite gradient that is not 0.  After that, nothing here
    synchronizes the GPU: values are read once the engine has logged them.

    Args:
        on_nonfinite: What to do with a term that is NaN or Inf: 'raise', or
            'skip' it in that step.
        log_name: Name in the log of the fraction of skipped terms.

    Raises:
        ValueError: If ``on_nonfinite`` is something else.
    """

    def __init__(self, on_nonfinite: str, log_name: str) -> None:
        check_choice('on_nonfinite', on_nonfinite, 'raise', 'skip')
        self.skip = on_nonfinite == 'skip'
        self.log_name = log_name
        self._checked: set[str] = set()
        self._steps_without_samples = 0
        self._gradients: dict[str, Tensor] = {}
        self.clear()

    def clear(self) -> None:
        """Begin a step."""
        # Smallest and largest value of each side, not the tensors.
        self._ranges: dict[str, tuple[Tensor, Tensor]] = {}
        self._finite: dict[str, Tensor] = {}

    def term(self, name: str, loss, factor: float, reading: tuple) -> Tensor:
        """Compute one term, and record what :meth:`check` needs.

        Args:
            name: Its name in the log.
            loss (nn.Module): The loss.
            factor: Factor of the term.
            reading: What the loss is called with.

        Returns:
            The term, a scalar; with 'skip', it and its gradient are 0 if the
            loss is not finite.
        """
        student, *rest = reading
        # In float32, in which the engine's loss scale does not overflow.
        dtype = torch.promote_types(student.dtype, torch.float32)
        branch = student.view_as(student).to(dtype)
        value = factor * loss(branch, *rest)
        if self.skip:
            finite = value.isfinite()
            self._finite[name] = finite.detach()
            value = value.where(finite, torch.zeros_like(value))
            if branch.requires_grad:
                branch.register_hook(
                    lambda grad: grad.where(finite, torch.zeros_like(grad))
                )
        if len(student):
            self._ranges[name] = _range(student), _range(rest[0])
            if name not in self._checked and branch.requires_grad:
                branch.register_hook(
                    lambda grad: self._gradients.update(
                        {name: grad.abs().max()}
                    )
                )
        return value

    def skipped(self) -> dict[str, Tensor]:
        """Fraction of skipped terms of this step, for the log."""
        if not self._finite:
            return {}
        finite = torch.stack(list(self._finite.values())).float()
        return {self.log_name: 1 - finite.mean()}

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
                    f'{get_rank()}, {self._describe(name)}: lower the '
                    'learning rate or the weight of the term, or set '
                    "on_nonfinite='skip'."
                )
        if self._finite and values[self.log_name] > 0:
            names = [name for name, ok in self._finite.items() if not ok]
            print_log(
                f'{", ".join(names)} left out at iteration {step} on rank '
                f'{get_rank()}: not finite, {self._describe(names[0])}.',
                'current',
                30,  # a warning
            )
        self._check_first_steps(values, losses)

    def _check_first_steps(
        self, values: Mapping[str, float], losses: Mapping
    ) -> None:
        pending = [name for name in losses if name not in self._checked]
        without_samples = [
            name for name in pending if name not in self._ranges
        ]
        if without_samples:
            self._steps_without_samples += 1
            if self._steps_without_samples >= PATIENCE:
                raise MMKDRuntimeError(
                    f'No sample reached {", ".join(without_samples)} in the '
                    f'first {PATIENCE} iterations on rank {get_rank()}: the '
                    'model classified nothing there. Check that its training '
                    'images have boxes and that its head is the one that the '
                    'tap reads.'
                )
        for name in pending:
            if name in without_samples:
                continue
            self._checked.add(name)
            if getattr(losses[name], 'loss_weight', 1) == 0:
                continue
            gradient = self._gradients.pop(name, None)
            largest = 'none' if gradient is None else f'{float(gradient)}'
            if gradient is None or not 0 < float(gradient) < math.inf:
                raise MMKDRuntimeError(
                    f'{name} is {values[name]} at the first step on rank '
                    f'{get_rank()}, and the largest gradient that it gives '
                    f'to the logits of the student is {largest}, so it does '
                    f'not train it ({self._describe(name)}): check that the '
                    'student is not its own teacher, that the weights of the '
                    'loss are not 0, and that the head of the student is '
                    'neither frozen nor cut off from the graph by '
                    '`activation_checkpointing`, for example of the RoI '
                    'extractor.'
                )

    def _describe(self, name: str) -> str:
        """Ranges of the logits; synchronizes the GPU."""
        return ' and '.join(
            f"the {role}'s logits lie in [{low:.4g}, {high:.4g}]"
            for role, limits in zip(
                ('student', 'teacher'), self._ranges.get(name, ())
            )
            for low, high in [limits.tolist()]
        )


def _range(values: Tensor) -> Tensor:
    """Smallest and largest value, (2,)."""
    return torch.stack(values.detach().aminmax())
