"""What a tap gives to the losses: student and teacher on the same samples."""

from typing import NamedTuple

from torch import Tensor


class Reading(NamedTuple):
    """The four arguments of a loss.

    For logits: N samples (images or sampled RoIs), C classes (K + 1 for an
    RoI head, background last).

    Attributes:
        student: Logits with their graph, (N, C).
        teacher: Logits without gradient, in the order of the student's
            classes, (N, C).
        labels: Class ids in [0, C), (N,); with Mixup or CutMix, soft labels
            in [0, 1], (N, C).
        weights: Weight of each sample, >= 0, (N,).
    """

    student: Tensor
    teacher: Tensor
    labels: Tensor
    weights: Tensor
