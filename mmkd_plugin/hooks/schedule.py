"""The weight of distillation over the course of training."""

import math

from mmengine.runner import IterBasedTrainLoop

from ..arguments import check_integer, check_switch
from ..exceptions import MMKDValueError


class Schedule:
    """Factor of the distillation terms by epoch or iteration.

    Args:
        warmup: Epochs over which the factor grows linearly, from 1 / warmup
            in the first one.
        begin: Number of epochs before distillation begins.
        end: Last epoch with distillation, counted from 1.
        by_epoch: Whether the three are in epochs or in iterations.

    Raises:
        TypeError: If ``by_epoch`` is neither True nor False.
        ValueError: If a number is negative or no integer, or ``end`` is not
            after ``begin``.
    """

    def __init__(
        self,
        warmup: int = 0,
        begin: int = 0,
        end: int | None = None,
        by_epoch: bool = True,
    ) -> None:
        for name, value in dict(
            warmup=warmup, begin=begin, end=0 if end is None else end
        ).items():
            check_integer(name, value)
        check_switch(by_epoch=by_epoch)
        if end is not None and end <= begin:
            raise MMKDValueError(
                'Expected argument `end` to be larger than '
                f'`begin` = {begin} but got {end}.'
            )
        self.warmup = warmup
        self.begin = begin
        self.end = end
        self.by_epoch = by_epoch

    def factor_at(self, step: int) -> float:
        """Factor in an epoch or iteration counted from 1, in [0, 1]."""
        if step <= self.begin or (self.end is not None and step > self.end):
            return 0.0
        return min((step - self.begin) / max(self.warmup, 1), 1.0)

    def factor_now(self, runner) -> float:
        """Factor of the next iteration of the runner."""
        return self.factor_at(
            (runner.epoch if self.by_epoch else runner.iter) + 1
        )

    def describe(self, runner) -> str:
        """When the terms count, in words.

        Args:
            runner: Its train loop says when the training ends.

        Returns:
            Without a full stop.
        """
        unit = 'epoch' if self.by_epoch else 'iteration'
        loop = runner.train_loop
        last = self._end_of(loop)
        # How many iterations an epoch has depends on the data, which may not
        # be the real ones.
        exact = self.by_epoch != isinstance(loop, IterBasedTrainLoop)
        if exact and self.begin >= last:
            return (
                f'**never**: `begin` is {self.begin}, and the training ends '
                f'after {unit} {last}'
            )
        end = f'{unit} {self.end}' if self.end else 'the end'
        text = f'from {unit} {self.begin + 1} to {end}'
        if self.warmup > 1:
            text += f', growing linearly over the first {self.warmup} of them'
        return text

    def check(self, runner) -> None:
        """Refuse to count epochs where the loop counts iterations.

        Warns if the training ends before distillation begins.

        Raises:
            ValueError: If the loop has no epochs to count.
        """
        loop = runner.train_loop
        if (
            self.by_epoch
            and (self.warmup or self.begin or self.end)
            and isinstance(loop, IterBasedTrainLoop)
        ):
            raise MMKDValueError(
                'Expected `warmup`, `begin` and `end` in iterations, which '
                'the training loop counts, but got them in epochs: set '
                '`by_epoch=False`.'
            )
        total = self._end_of(loop)
        if self.begin >= total:
            runner.logger.warning(
                f'Nothing will be distilled: `begin` is {self.begin}, and '
                f'the training ends after {total} '
                f'{"epochs" if self.by_epoch else "iterations"}.'
            )

    def _end_of(self, loop) -> float:
        """Last epoch or iteration of a train loop."""
        # A custom loop may have no such attribute.
        name = 'max_epochs' if self.by_epoch else 'max_iters'
        return getattr(loop, name, math.inf)
