"""Queries of a student matched with those of its teacher, one to one.

L decoder layers, B images, N^S and N^T queries, C classes, M = min(N^S, N^T)
pairs.
"""

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import functional as F

from ..boxes import clipped, corners, pairwise_giou
from .detr_models import Predictions

# Weights of the costs, those of the terms of DETRDistill.
CLASS, L1, GIOU = 1.0, 5.0, 2.0


class Match:
    """A question to a teacher: which of its queries are the student's.

    Questions about the same forwards are equal, so that several taps share
    one match.

    Args:
        own: Predictions of the student.
        other: Those of the teacher, in the classes of the student.
        *about: The objects by which the forwards are recognised.
    """

    def __init__(
        self, own: Predictions, other: Predictions, *about: object
    ) -> None:
        self.own, self.other, self.about = own, other, about

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Match) and all(
            mine is theirs for mine, theirs in zip(self.about, other.about)
        )

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.about)))

    def __call__(self, model: nn.Module, features: object) -> Tensor:
        """The pairs, see :func:`match`; neither argument is used."""
        with torch.autocast(self.own.logits.device.type, enabled=False):
            return match(self.own, self.other)


@torch.no_grad()
def match(own: Predictions, other: Predictions) -> Tensor:
    """Hungarian matching of each image and decoder layer.

    The sum over the pairs of :func:`costs` is the smallest possible.

    Args:
        own: Predictions of the student, N^S queries.
        other: Those of the teacher, N^T queries.

    Returns:
        Of each pair the query of the student and that of the teacher, (2, L,
        B, M); in the order of the student's queries.
    """
    from scipy.optimize import linear_sum_assignment

    layers = zip(*own, *other)
    found = torch.stack([costs(s, b, t, c) for s, b, t, c in layers])
    # A model with NaN is matched anyhow: its terms tell it.
    matrices = found.nan_to_num().cpu().flatten(0, 1).numpy()
    pairs = [linear_sum_assignment(matrix) for matrix in matrices]
    rows = torch.stack(
        [torch.stack([torch.from_numpy(x) for x in each]) for each in pairs]
    )
    rows = rows.view(*found.shape[:2], 2, -1).permute(2, 0, 1, 3)
    return rows.to(found.device)


def costs(
    own_logits: Tensor, own_boxes: Tensor, logits: Tensor, boxes: Tensor
) -> Tensor:
    """Cost of each pair of queries of one decoder layer.

    ``sum_c BCE(z^S_c, sigmoid z^T_c) + 5 |b^S - b^T|_1 - 2 GIoU``, with the
    teacher's boxes clipped to the image.

    Args:
        own_logits: z^S, (B, N^S, C).
        own_boxes: b^S, cx, cy, w, h as fractions of the image, (B, N^S, 4).
        logits: z^T, (B, N^T, C).
        boxes: b^T, (B, N^T, 4).

    Returns:
        (B, N^S, N^T), float32.

    References:
        Chang, Wang, Xu, Chen, Yang, Zhao. DETRDistill: A Universal Knowledge
        Distillation Framework for DETR-families. ICCV 2023, arXiv 2211.10156,
        the released code.
    """
    own_logits, own_boxes, boxes = (
        x.float() for x in (own_logits, own_boxes, clipped(boxes))
    )
    targets = logits.float().sigmoid()
    # BCE(z, q) = softplus(z) - z q
    bce = F.softplus(own_logits).sum(-1, keepdim=True)
    bce = bce - own_logits @ targets.transpose(1, 2)
    distance = (own_boxes[:, :, None] - boxes[:, None]).abs().sum(-1)
    overlap = pairwise_giou(corners(own_boxes), corners(boxes))
    return CLASS * bce + L1 * distance - GIOU * overlap
