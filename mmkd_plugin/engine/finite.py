"""Save no NaN or Inf, whichever rank it comes from."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from mmengine.dist import get_rank
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.model import is_model_wrapper

from ..exceptions import MMKDRuntimeError
from .async_max import AsyncMax
from .lost_rank import OtherRankError


class FiniteSteps:
    """Whether the last step passed its check on all ranks.

    A term that is NaN on one rank makes the weights of all ranks NaN in the
    same step, and the other ranks do not notice.
    """

    def __init__(self) -> None:
        self._failed = AsyncMax()
        self._iteration = 0

    @contextmanager
    def step(self, iteration: int) -> Iterator[None]:
        """Tell the other ranks whether the check of this rank passes.

        Args:
            iteration: Counted from 1.

        Raises:
            Exception: From the check, after the other ranks were told.
        """
        self._iteration = iteration
        try:
            yield
        except Exception:
            self._failed.give(get_rank() + 1)
            with suppress(RuntimeError):  # another rank has ended meanwhile
                self._failed.read()
            raise
        self._failed.give(0)

    def check(self) -> None:
        """Raise if the last step failed; one iteration later it does not wait.

        Raises:
            RuntimeError: If the check of a rank failed.
        """
        failed = int(self._failed.read())
        if failed:
            raise OtherRankError(
                f'Rank {failed - 1} stopped at iteration {self._iteration} '
                'because a distillation term failed its check there, so this '
                'rank stops too and nothing of that step is saved: the '
                'output of that rank says what was wrong.'
            )


def saves_now(runner) -> bool:
    """Whether a checkpoint is due at the end of this iteration.

    A checkpoint by epoch is saved after the epoch.
    """
    return any(
        isinstance(hook, CheckpointHook)
        and not hook.by_epoch
        and (
            hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
            or (hook.save_last and hook.is_last_train_iter(runner))
        )
        for hook in runner.hooks
    )


def refuse_nonfinite(runner, checkpoint: dict) -> None:
    """Refuse to save weights that are not finite.

    A buffer may be infinite on purpose, and must not be NaN.

    Args:
        runner (Runner): In ``before_save_checkpoint``.
        checkpoint: What is about to be saved.

    Raises:
        RuntimeError: If a parameter is NaN or Inf, or a buffer NaN.
    """
    model = (
        runner.model.module
        if is_model_wrapper(runner.model)
        else (runner.model)
    )
    parameters = {name for name, _ in model.named_parameters()}
    states = [
        checkpoint.get('state_dict', {}),
        checkpoint.get('ema_state_dict', {}),
        *map(_weights, checkpoint.get('distill', {}).values()),
        # EMAHook may not have added its own yet.
        *(
            hook.ema_model.state_dict()
            for hook in runner.hooks
            if isinstance(hook, EMAHook) and 'ema_state_dict' not in checkpoint
        ),
    ]
    for state in states:
        for name, value in state.items():
            if not _can_be_nan(value):
                continue
            if value.dtype.itemsize == 1:  # no isnan for float8 in torch
                value = value.float()
            bad = value.isnan()
            if name.removeprefix('module.') in parameters:
                bad = ~value.isfinite()
            if bad.any():
                raise MMKDRuntimeError(
                    f'{name} holds {int(bad.sum())} values of '
                    f'{value.numel()} that are NaN or infinite after '
                    f'iteration {checkpoint["meta"]["iter"]}, so nothing was '
                    'saved: go on from the last checkpoint with a lower '
                    'learning rate or with `clip_grad`.'
                )


def _weights(state: dict) -> dict:
    """Without statistics, which a skipped step may have spoilt unused."""
    return {
        name: value
        for name, value in state.items()
        if not name.endswith(('running_mean', 'running_var'))
    }


def _can_be_nan(value) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and (value.is_floating_point() or value.is_complex())
    )
