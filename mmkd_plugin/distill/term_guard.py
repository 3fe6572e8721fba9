"""Watching that distillation terms really train the student."""

import math

import torch
from mmengine.dist import get_rank
from torch import Tensor

from ..arguments import check_choice
from ..exceptions import MMKDRuntimeError

# Training may start with images in which the detector samples no RoI.
PATIENCE = 10


class TermGuard:
    """Checks the terms of one hook: once thoroughly, then for NaN and Inf.

    The thorough check is that of the first step that distils, on every rank:
    each term must be reached by the backward pass and give the student's
    logits a finite gradient that is not 0.  Nothing here waits for the GPU
    after that: values are read where the engine has logged them.

    Args:
        on_nonfinite (str): What a term that is NaN or Inf does, 'raise' or
            'skip', which leaves it out of that step.
        log_name (str): Name in the log of the share that was left out.

    Raises:
        ValueError: If ``on_nonfinite`` is something else.
    """

    def __init__(self, on_nonfinite: str, log_name: str) -> None:
        check_choice('on_nonfinite', on_nonfinite, 'raise', 'skip')
        self.skip = on_nonfinite == 'skip'
        self.log_name = log_name
        self.proven = False
        self.waited = 0
        self._gradients: dict[str, Tensor] = {}
        self._logits: tuple[Tensor, ...] = ()
        self._finite: dict[str, Tensor] = {}

    def term(self, name: str, loss, weight: float, pair: tuple) -> Tensor:
        """Compute one term under watch.

        Args:
            name (str): Its name in the log.
            loss (nn.Module): The loss.
            weight (float): Factor of the term.
            pair (tuple): Logits of the student and the teacher, (N, C),
                labels (N,) and weights (N,).

        Returns:
            Tensor: The term, a scalar; with 'skip' it is 0, and its gradient
            is, if the loss is not finite.
        """
        student, *rest = pair
        # In float32, where the engine's loss scale does not overflow.
        dtype = torch.promote_types(student.dtype, torch.float32)
        branch = student.view_as(student).to(dtype)
        value = weight * loss(branch, *rest)
        if self.skip:
            finite = value.isfinite()
            self._finite[name] = finite.detach()
            value = value.where(finite, torch.zeros_like(value))
            if branch.requires_grad:
                branch.register_hook(
                    lambda grad: grad.where(finite, torch.zeros_like(grad))
                )
        if not self.proven and branch.requires_grad and len(student):
            branch.register_hook(
                lambda grad: self._gradients.update({name: grad.abs().max()})
            )
        self._logits = (student.detach(), rest[0]) if len(student) else ()
        return value

    def skipped(self) -> dict[str, Tensor]:
        """Share of the terms of this step that were left out, to be logged."""
        if not self.skip:
            return {}
        finite = torch.stack(list(self._finite.values())).float()
        return {self.log_name: 1 - finite.mean()}

    def after_step(self, runner, losses: dict, factor: float) -> None:
        """Check the step that the engine has just made.

        Args:
            runner (Runner): The runner.
            losses (dict): Name to loss of the terms.
            factor (float): The factor of the terms in this step.

        Raises:
            RuntimeError: If no sample reached the terms in the first steps,
                a term has no gradient at the first, or one is not finite.
        """
        if factor == 0:
            return
        values = {
            name: runner.message_hub.get_scalar(f'train/{name}').current()
            for name in losses
        }
        for name, value in values.items():
            if not math.isfinite(value):
                raise MMKDRuntimeError(
                    f'{name} is {value} at iteration {runner.iter + 1} on '
                    f'rank {get_rank()}, {self._describe()}: lower the '
                    'learning rate or the weight of the term, or set '
                    "on_nonfinite='skip'."
                )
        if self.skip and self._finite:
            self._warn_skipped(runner)
        if not self.proven:
            self._prove(losses, values)

    def _warn_skipped(self, runner) -> None:
        share = runner.message_hub.get_scalar(f'train/{self.log_name}')
        if share.current() > 0:
            names = [name for name, ok in self._finite.items() if not ok]
            runner.logger.warning(
                f'{", ".join(names)} left out at iteration {runner.iter + 1} '
                f'on rank {get_rank()}: not finite, {self._describe()}.'
            )

    def _prove(self, losses: dict, values: dict) -> None:
        if not self._logits:
            self.waited += 1
            if self.waited >= PATIENCE:
                raise MMKDRuntimeError(
                    f'No sample reached {", ".join(losses)} in the first '
                    f'{PATIENCE} iterations on rank {get_rank()}: the model '
                    'classified nothing there. Check that its training '
                    'images have boxes and that its head is the one that the '
                    'tap listens to.'
                )
            return
        for name, loss in losses.items():
            if getattr(loss, 'loss_weight', 1) == 0:
                continue
            gradient = self._gradients.get(name)
            found = 'none' if gradient is None else f'{float(gradient)}'
            if gradient is None or not 0 < float(gradient) < math.inf:
                raise MMKDRuntimeError(
                    f'{name} is {values[name]} at the first step on rank '
                    f'{get_rank()}, and the largest gradient that it gives '
                    f'to the logits of the student is {found}, so it cannot '
                    f'teach ({self._describe()}): check that the student is '
                    'not its own teacher, that the weights of the loss are '
                    'not 0, and that the head of the student is neither '
                    'frozen nor cut off by `activation_checkpointing`, as '
                    'that of an RoI extractor does.'
                )
        self.proven = True
        self._gradients.clear()

    def _describe(self) -> str:
        """Ranges of the logits; waits for the GPU."""
        return ' and '.join(
            f"the {role}'s logits lie in "
            f'[{float(logits.min()):.4g}, {float(logits.max()):.4g}]'
            for role, logits in zip(('student', 'teacher'), self._logits)
        )
