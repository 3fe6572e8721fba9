"""Forward hooks on modules of a student that may be replaced."""

from collections.abc import Callable, Iterable

import torch.nn as nn
from torch.utils.hooks import RemovableHandle

Modules = tuple[nn.Module, ...]


class Listener:
    """Hooks on modules of a student that may be replaced during a run.

    MMPretrain's ``SwitchRecipeHook`` replaces the loss of a head between two
    epochs, and a user's hook may replace any module.

    Args:
        student: The model in training.
        modules: Returns the modules of a student to hook.
        hook: Registers the hooks on them, and returns their handles.  The
            hooks must be plain functions: deepcopy copies the object of a
            bound method, with everything that it refers to, into every copy
            of the model.
        refuse: Called with a student whose modules were replaced; raises if
            the new ones cannot be read.
    """

    def __init__(
        self,
        student: nn.Module,
        modules: Callable[[nn.Module], Modules],
        hook: Callable[[nn.Module], Iterable[RemovableHandle]],
        refuse: Callable[[nn.Module], None],
    ) -> None:
        self._student = student
        self._modules = modules
        self._hook = hook
        self._refuse = refuse
        self._hooked = modules(student)
        self._handles = list(hook(student))
        self._student_handle = student.register_forward_pre_hook(
            lambda model, args: self._update(model)
        )

    def _update(self, student: nn.Module) -> None:
        # A copy of the model has copies of the hooks.
        if student is not self._student or not student.training:
            return
        modules = self._modules(student)
        if all(old is new for old, new in zip(self._hooked, modules)):
            return
        self._refuse(student)
        self._remove()
        self._hooked, self._handles = modules, list(self._hook(student))

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def close(self) -> None:
        """Remove all hooks."""
        self._remove()
        self._student_handle.remove()
