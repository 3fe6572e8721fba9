"""What a head gave in a student's last forward, and its losses were given."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn as nn
from torch import Tensor

from .listener import Listener, Modules


class LossCall(NamedTuple):
    """A call of a loss.

    Attributes:
        rows: Number of rows of the prediction.
        targets: What they are compared with; of a tuple, as that of class ids
            and qualities, the first.
        weights: Their weights; 1 where the loss was given none.
    """

    rows: int
    targets: Tensor
    weights: Tensor


class HeadRecord:
    """Hooks on a head and its losses, and what they saw in its last forward.

    Args:
        student: Has the head.
        modules: Returns, of a student, the head and its losses.
        refuse: Called with a student whose modules were replaced.
    """

    def __init__(
        self,
        student: nn.Module,
        modules: Callable[[nn.Module], Modules],
        refuse: Callable[[nn.Module], None],
    ) -> None:
        self._modules = modules
        self.clear()
        self._listener = Listener(student, modules, self._hooks, refuse)

    def _hooks(self, student: nn.Module):
        """Register hooks on the head and its losses."""
        self._hooked = head, *losses = self._modules(student)
        # Plain functions: deepcopy would copy a bound method's object.
        yield head.register_forward_hook(lambda *call: self._on_head(*call))
        for place, loss in enumerate(losses):
            yield loss.register_forward_pre_hook(
                self._hook(place), with_kwargs=True
            )

    def _hook(self, place: int) -> Callable:
        return lambda *call: self._on_loss(place, *call)

    def close(self) -> None:
        """Remove the hooks, and free the last forward."""
        self._listener.close()
        self.clear()

    def clear(self) -> None:
        """Drop the references to the last forward, to free its graph."""
        self._output: tuple | None = None
        self._calls: dict[int, list[LossCall]] = {}

    def _on_head(self, module: nn.Module, args: tuple, output: tuple) -> None:
        # A copy of the model has copies of the hooks.
        if module.training and module is self._hooked[0]:
            self.clear()
            self._output = tuple(output)

    def _on_loss(
        self, place: int, module: nn.Module, args: tuple, kwargs: dict
    ) -> None:
        if (
            not module.training
            or self._output is None
            or module is not self._hooked[1 + place]
        ):
            return
        predicted, targets = (*args, *kwargs.values())[:2]
        weights = args[2] if len(args) > 2 else kwargs.get('weight')
        if weights is None:
            weights = torch.ones(len(predicted), device=predicted.device)
        if isinstance(targets, (tuple, list)):
            targets = targets[0]
        self._calls.setdefault(place, []).append(
            LossCall(len(predicted), targets.detach(), weights.detach())
        )

    def take(self) -> tuple[tuple, dict[int, list[LossCall]]] | None:
        """What the last forward did, once; then it is cleared.

        Returns:
            The head's output, and the calls of each loss by its place in
            ``modules``, from 0. None if the head did not run.
        """
        output, calls = self._output, self._calls
        self.clear()
        return None if output is None else (output, calls)
