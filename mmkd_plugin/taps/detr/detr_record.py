"""What the transformer of a student did in its last forward.

B images, P places over the levels, D channels, L decoder layers, N queries,
C classes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch.nn as nn
from torch import Tensor

from ...exceptions import MMKDRuntimeError
from ..listener import Listener
from .detr_models import Predictions, Shapes


class Seen(NamedTuple):
    """A forward of the student.

    Attributes:
        memory: What its encoder gave, with graph, (B, P, D).
        shapes: Height and width of each level.
        predictions: Those of its N queries, without those that DINO adds to
            learn to remove noise.
        head: The logits of its head, as they came, by which several taps
            recognise one forward.
        samples: The data samples of the images.
    """

    memory: Tensor
    shapes: Shapes
    predictions: Predictions
    head: Tensor
    samples: list


class DETRRecord:
    """Hooks on a student's transformer, and what they saw.

    Args:
        student: A detector that
            :func:`~mmkd_plugin.taps.detr.detr_models.refuse_detr` accepts.
        refuse: Called with a student whose modules were replaced.
    """

    def __init__(
        self, student: nn.Module, refuse: Callable[[nn.Module], None]
    ) -> None:
        self._student = student
        self.clear()
        self._listener = Listener(student, _modules, self._hooks, refuse)

    def _hooks(self, student: nn.Module):
        """Register hooks on the student, its decoder and its head."""
        decoder, head = _modules(student)
        yield student.register_forward_pre_hook(
            lambda *call: self._begin(*call), with_kwargs=True
        )
        yield decoder.register_forward_pre_hook(
            lambda *call: self._on_decoder(*call), with_kwargs=True
        )
        yield head.register_forward_hook(lambda *call: self._on_head(*call))

    def close(self) -> None:
        """Remove the hooks, and free the last forward."""
        self._listener.close()
        self.clear()

    def clear(self) -> None:
        """Drop the references to the last forward, to free its graph."""
        self._samples: list | None = None
        self._encoded: tuple[Tensor, Tensor] | None = None
        self._predictions: Predictions | None = None

    def _begin(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        call = dict(zip(('inputs', 'data_samples', 'mode'), args), **kwargs)
        # A copy of the model has copies of the hooks.
        if model is self._student and model.training:
            self.clear()
            if call.get('mode') == 'loss':
                self._samples = call.get('data_samples')

    def _on_decoder(
        self, module: nn.Module, args: tuple, kwargs: dict
    ) -> None:
        if self._samples is None or not module.training:
            return
        if not {'value', 'spatial_shapes'} <= {*kwargs}:
            raise MMKDRuntimeError(
                f'The {type(module).__name__} of the student was called '
                'without the named arguments `value` and `spatial_shapes`, '
                'which the taps of DETR read: call it with them, as '
                '`DeformableDETR.forward_decoder` does.'
            )
        self._encoded = kwargs['value'], kwargs['spatial_shapes']

    def _on_head(self, module: nn.Module, args: tuple, output: tuple) -> None:
        if self._samples is not None and module.training:
            self._predictions = Predictions(*output)

    def take(self) -> Seen | None:
        """What the last forward did, once; then it is cleared.

        Returns:
            None if the student did not run.
        """
        samples, encoded = self._samples, self._encoded
        found = self._predictions
        self.clear()
        if samples is None or encoded is None or found is None:
            return None
        memory, shapes = encoded
        student: Any = self._student
        return Seen(
            memory,
            [(h, w) for h, w in shapes.tolist()],
            # Those of noise come first.
            Predictions(*(x[:, :, -student.num_queries :] for x in found)),
            found.logits,
            samples,
        )


def _modules(model: nn.Module) -> tuple:
    """The modules that queries pass through."""
    return model.decoder, model.bbox_head
