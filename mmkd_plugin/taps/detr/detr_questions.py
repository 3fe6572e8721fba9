"""What a teacher with queries is asked: its encoder, its decoder, or both.

B images, S levels of h_s x w_s places, P places over the levels, D channels,
L decoder layers, N queries, C classes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn as nn
from torch import Tensor

from .detr_models import Predictions, Shapes


class Encoded(NamedTuple):
    """The result of an encoder.

    Attributes:
        memory: A token per place, level by level, (B, P, D).
        shapes: Height and width of each level.
        inputs: What ``pre_decoder`` takes, by name.
        rest: What ``forward_decoder`` takes beside its result, by name.
    """

    memory: Tensor
    shapes: Shapes
    inputs: dict[str, Any]
    rest: dict[str, Any]


class Decoded(NamedTuple):
    """The result of a decoder.

    Attributes:
        predictions: Those of all layers.
        references: The reference points from which each layer starts.
        calls: Positional and named arguments of each layer.
    """

    predictions: Predictions
    references: Sequence[Tensor]
    calls: list[tuple[tuple, dict[str, Any]]]


class _Question:
    """A question that is equal to another one about the same object."""

    def __init__(self, about: object) -> None:
        self.about: Any = about

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.about is self.about  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), id(self.about)))


class Encode(_Question):
    """A question to a teacher: its encoder on its own feature maps.

    Args:
        about: The data samples of the images, which say how each is padded.
    """

    def __call__(
        self, model: nn.Module, features: Sequence[Tensor]
    ) -> Encoded:
        """Run the encoder.

        Args:
            model: A detector that
                :func:`~mmkd_plugin.taps.detr.detr_models.refuse_detr` accepts.
            features: Result of its ``extract_feat``, (B, D, h_s, w_s) each.
        """
        detector: Any = model
        given, rest = detector.pre_transformer(features, self.about)
        inputs = detector.forward_encoder(**given)
        shapes = [(x.shape[-2], x.shape[-1]) for x in features]
        return Encoded(inputs['memory'], shapes, inputs, rest)


class Decode(_Question):
    """A question to a teacher: its decoder and head, after its encoder.

    Args:
        about: The result of :class:`Encode`.
    """

    def __call__(
        self, model: nn.Module, features: Sequence[Tensor]
    ) -> Decoded:
        """Run the decoder, and note with what its layers are called."""
        detector: Any = model
        calls: list[tuple[tuple, dict]] = []
        given, _ = detector.pre_decoder(**self.about.inputs)
        handles = [
            layer.register_forward_pre_hook(
                lambda _, args, kwargs: calls.append((args, kwargs)),
                with_kwargs=True,
            )
            for layer in detector.decoder.layers
        ]
        try:
            states = detector.forward_decoder(**{**self.about.rest, **given})
        finally:
            for handle in handles:
                handle.remove()
        found = Predictions(*detector.bbox_head(**states))
        return Decoded(found, states['references'], calls)


class Cross(_Question):
    """A question to a teacher: each decoder layer on another memory.

    Queries and reference points of each layer are those of the teacher, so
    that the predictions pair up query by query.

    Args:
        about: The result of :class:`Decode`.
    """

    def __call__(
        self, model: nn.Module, features: Sequence[Tensor]
    ) -> Predictions:
        """Run the layers and the head.

        Args:
            model: The teacher.
            features: The memory of the student alone, (B, P, D).
        """
        detector: Any = model
        # Float32: a teacher of that precision runs without autocast.
        memory = features[0].float()
        states = [
            layer(*args, **{**kwargs, 'value': memory})
            for layer, (args, kwargs) in zip(
                detector.decoder.layers, self.about.calls
            )
        ]
        # The decoder of DINO normalises what each layer gives.
        norm = getattr(detector.decoder, 'norm', nn.Identity())
        return Predictions(
            *detector.bbox_head(
                torch.stack([norm(state) for state in states]),
                self.about.references,
            )
        )
