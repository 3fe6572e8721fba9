"""What a tap hands to the losses."""

from typing import NamedTuple

from torch import Tensor


class LogitPair(NamedTuple):
    """Student and teacher logits of the same samples.

    N samples (images, or sampled RoIs), C classes (K + 1 for an RoI head,
    background last).

    Attributes:
        student (Tensor): Logits with their graph, (N, C).
        teacher (Tensor): Logits without a graph, (N, C).
        labels (Tensor): Class ids in [0, C), (N,).
        weights (Tensor): Weight of each sample, >= 0, (N,).
    """

    student: Tensor
    teacher: Tensor
    labels: Tensor
    weights: Tensor
