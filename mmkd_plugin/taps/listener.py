"""Forward hooks on the parts of a student, kept on those that are there."""

from collections.abc import Callable, Iterable

import torch.nn as nn
from torch.utils.hooks import RemovableHandle

Parts = tuple[nn.Module, ...]


class Listener:
    """Hooks on modules of a student that may be replaced during a run.

    MMPretrain's ``SwitchRecipeHook`` replaces the loss of a head between two
    epochs, and a hook of a user's may replace any part.

    Args:
        student: The model in training.
        parts: Student to the modules that are listened to.
        hook: Student to the handles of the hooks on them.  The
            hooks must be plain functions: deepcopy copies the object of a
            bound method, and all that hangs on it, into every copy of the
            model.
        refuse: Called with a student whose parts were replaced;
            raises an error if the new ones cannot be read.
    """

    def __init__(
        self,
        student: nn.Module,
        parts: Callable[[nn.Module], Parts],
        hook: Callable[[nn.Module], Iterable[RemovableHandle]],
        refuse: Callable[[nn.Module], None],
    ) -> None:
        self._student = student
        self._parts = parts
        self._hook = hook
        self._refuse = refuse
        self._heard = parts(student)
        self._handles = list(hook(student))
        self._own = student.register_forward_pre_hook(
            lambda model, args: self._follow(model)
        )

    def _follow(self, student: nn.Module) -> None:
        # A copy of the model has copies of the hooks.
        if student is not self._student or not student.training:
            return
        parts = self._parts(student)
        if all(old is new for old, new in zip(self._heard, parts)):
            return
        self._refuse(student)
        self._remove()
        self._heard, self._handles = parts, list(self._hook(student))

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def close(self) -> None:
        """Remove all hooks."""
        self._remove()
        self._own.remove()
