"""Predictions of student and teacher, paired query by query.

L decoder layers, B images, N queries, C classes, R rows: layer by layer, in
a layer by image, then by query.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..boxes import clipped
from .detr_match import Match
from .detr_models import Predictions, refuse_shapes
from .detr_questions import Cross, Decode, Encode
from .detr_record import Seen


class Pairs(NamedTuple):
    """Rows of student and teacher that belong together.

    Attributes:
        own: Logits (R, C) and boxes (R, 4) of the student, with graph.
        other: Those of the teacher, classes in the order of the student's.
        weights: How much the box of each row counts, on average 1 in each
            decoder layer, (R,).
        sizes: Width, height, width, height of the image of each row, in
            pixels, (R, 4).
    """

    own: Predictions
    other: Predictions
    weights: Tensor
    sizes: Tensor


def own_pairs(seen: Seen) -> Pairs:
    """The student paired with itself, where no teacher runs."""
    own = seen.predictions
    other = Predictions(*(x.detach() for x in own))
    return _rows(own, other, torch.ones_like(other.boxes[..., 0]), seen)


def crossed_pairs(seen: Seen, teacher: Any, tap: str) -> Pairs:
    """The teacher's decoder on the student's memory, and on its own.

    A box counts by the teacher's largest probability of a class.

    Raises:
        RuntimeError: If the memories are of other levels.
    """
    encoded = teacher.answer(Encode(seen.samples))
    refuse_shapes(seen.shapes, encoded.shapes, tap)
    decoded = teacher.answer(Decode(encoded))
    found = teacher.cross(Cross(decoded), (seen.memory,))
    own, other = (
        _reordered(each, teacher) for each in (found, decoded.predictions)
    )
    confidence = other.logits.float().sigmoid().amax(-1)
    # Clamped where no class is probable at all.
    mean = confidence.mean((1, 2), keepdim=True)
    mean = mean.clamp(min=torch.finfo(mean.dtype).tiny)
    return _rows(own, other, confidence / mean, seen)


def matched_pairs(seen: Seen, teacher: Any, tap: str) -> Pairs:
    """The student's queries, and those of the teacher matched with them.

    The boxes of the teacher are clipped to the image; all count alike.

    Raises:
        RuntimeError: If the encoders read other levels.
    """
    encoded = teacher.answer(Encode(seen.samples))
    refuse_shapes(seen.shapes, encoded.shapes, tap)
    decoded = teacher.answer(Decode(encoded))
    own, other = (
        seen.predictions,
        _reordered(decoded.predictions, teacher),
    )
    mine, theirs = teacher.answer(Match(own, other, seen.head, decoded))
    own = Predictions(*(_pick(x, mine) for x in own))
    other = Predictions(*(_pick(x, theirs) for x in other))
    other = other._replace(boxes=clipped(other.boxes.float()))
    return _rows(own, other, torch.ones_like(other.boxes[..., 0]), seen)


def _reordered(found: Predictions, teacher: Any) -> Predictions:
    """With the classes in the order of the student's."""
    logits = teacher.reorder(found.logits.flatten(0, 2))
    shape = *found.logits.shape[:3], logits.shape[1]
    return found._replace(logits=logits.view(shape))


def _pick(rows: Tensor, index: Tensor) -> Tensor:
    """The queries (L, B, M) of (L, B, N, columns)."""
    index = index[..., None].expand(-1, -1, -1, rows.shape[-1])
    return rows.gather(2, index)


def _rows(
    own: Predictions, other: Predictions, weights: Tensor, seen: Seen
) -> Pairs:
    # The height and width of an image stand first in its shape.
    sizes = weights.new_tensor(
        [sample.img_shape[:2][::-1] * 2 for sample in seen.samples]
    )
    sizes = sizes[None, :, None].expand(*weights.shape, 4)
    mine, theirs = (
        Predictions(x.logits.flatten(0, 2), x.boxes.float().flatten(0, 2))
        for x in (own, other)
    )
    return Pairs(mine, theirs, weights.flatten(), sizes.flatten(0, 2))
