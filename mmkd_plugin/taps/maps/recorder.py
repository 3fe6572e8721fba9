"""What modules of a model give or are given, found by their places."""

from collections.abc import Callable, Sequence

import torch
import torch.nn as nn
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ...exceptions import MMKDRuntimeError


class Recorder:
    """Records the maps of modules, from :meth:`open` to :meth:`take`.

    Outside of that, as when activation checkpointing runs a module again in
    the backward pass, nothing is recorded.

    Args:
        model: Has the modules.
        paths: Their names in ``model.named_modules()``, or other places, see
            :mod:`~mmkd_plugin.taps.maps.stage_paths`.
        role: What to call the model in messages.
    """

    def __init__(
        self, model: nn.Module, paths: Sequence[str], role: str
    ) -> None:
        self.paths = paths
        self.role = role
        self._maps: dict[str, list[tuple[Tensor, int]]] | None = None
        self._handles = [self._register(model, place) for place in paths]

    def _register(self, model: nn.Module, place: str) -> RemovableHandle:
        path, _, part = place.partition('@')
        module = model.get_submodule(path)
        # Plain functions: deepcopy would copy a bound method's object.
        if part == 'input':
            return module.register_forward_pre_hook(self._pre_hook(place))
        return module.register_forward_hook(self._hook(place))

    def _hook(self, place: str) -> Callable:
        return lambda module, args, output: self._record(place, output)

    def _pre_hook(self, place: str) -> Callable:
        return lambda module, args: self._record_input(place, module, args)

    # Traced, the versions of the maps would be those of the trace.
    @torch.compiler.disable
    def _record(self, place: str, output: object) -> None:
        if self._maps is None:
            return
        is_vector = place.endswith('@vector')
        parts = output if isinstance(output, (list, tuple)) else [output]
        if '@' in place:
            parts = parts[-1:]
            self._maps[place] = []
        for part in parts:
            wanted = 2 if is_vector else 4
            if not isinstance(part, Tensor) or part.ndim != wanted:
                shape = getattr(part, 'shape', None)
                raise MMKDRuntimeError(
                    f'The module {place!r} of the {self.role} gave a '
                    f'{type(part).__name__}'
                    f'{"" if shape is None else f" of shape {tuple(shape)}"}, '
                    'but FeatureTap reads maps of shape (B, C, h, w): name a '
                    'module that gives maps, such as the neck.'
                )
            if is_vector:
                part = part[:, :, None, None]
            # A dense head runs its convolutions once per level.
            self._maps.setdefault(place, []).append((part, part._version))

    @torch.compiler.disable
    def _record_input(
        self, place: str, module: nn.Module, args: tuple
    ) -> tuple | None:
        """Record what a module is given; one in place overwrites a copy."""
        given = args[0] if args else None
        self._record(place, given)
        if self._maps is None or not getattr(module, 'inplace', False):
            return None
        return (given.clone(), *args[1:])  # type: ignore[union-attr]

    def open(self) -> None:
        """Begin to record; what was recorded before is dropped."""
        self._maps = {}

    def take(self) -> tuple[Tensor, ...]:
        """The maps in the order of the paths, once; none if no module ran.

        Raises:
            RuntimeError: If one of them did not run, but others did, or its
                output was overwritten since.
        """
        found, self._maps = self._maps, None
        if not found:
            return ()
        for path in self.paths:
            if path not in found:
                raise MMKDRuntimeError(
                    f'The module {path!r} of the {self.role} did not run in '
                    'this step, but others that FeatureTap reads did: name '
                    'modules that run in every step.'
                )
            for part, version in found[path]:
                if part._version != version:
                    raise MMKDRuntimeError(
                        f'The output of {path!r} of the {self.role} was '
                        'overwritten in place by a later module, such as an '
                        'in-place ReLU: name that module instead.'
                    )
        return tuple(part for path in self.paths for part, _ in found[path])

    def close(self) -> None:
        """Remove the hooks, and free what was recorded."""
        for handle in self._handles:
            handle.remove()
        self._maps = None
