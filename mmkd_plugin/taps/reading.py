"""What a tap gives to the losses: student and teacher on the same samples.

A tap gives a :class:`Reading`, or of a cascade a list, a :class:`Stage` each.
"""

from typing import NamedTuple

from torch import Tensor


class Reading(NamedTuple):
    """The four arguments of a loss.

    ==========  =======================  ======================  ============
    kind        student, teacher         labels                  weights
    ==========  =======================  ======================  ============
    logits      (N, C)                   class ids (N,), or      (N,), >= 0
                                         soft labels (N, C)
    sigmoid     binary logits (N, C)     class ids (N,), C for   (N,), >= 0
                                         none
    features    tuples of maps           boxes of each image,    None
                (B, C_l, h_l, w_l)       or None
    boxes       deltas (N, 4)            true deltas (N, 4), or  (N,), >= 0
                                         None
    corners     boxes x1, y1, x2, y2     1 for a positive, 0     (N,), >= 0
                (N, 4)                   for none, (N,)
    bins        logits of the bins       1 for a positive, 0     (N,), >= 0
                (N, 4, R + 1)            for none, (N,)
    vectors     (N, D_s) and (N, D_t)    class ids (N,), soft    (N,), >= 0
                                         labels (N, C), or None
    class_maps  maps (N, C, h, w), of    None                    None
                the same classes
    ==========  =======================  ======================  ============

    N samples (images, sampled RoIs, anchors, points or queries), C classes (K
    + 1 for an RoI head, background last; 1 for an RPN, the object), B images.
    Logits are of one softmax over the classes, binary logits of a sigmoid
    each. In place of deltas, queries have the numbers of
    :class:`~mmkd_plugin.taps.detr.detr_box_tap.DETRBoxTap`.
    Corners are decoded, in pixels of the padded batch, and not clipped. Bins
    are those of the four distances from a point to the sides of its box: a
    softmax over R + 1 multiples of the stride. Vectors are what a classifier
    makes of an image before its last layer, of D_s and D_t numbers.  The kind
    'indexed_vectors' differs in its labels: a tuple of those, and the index
    of each image in the data set, (N,).  'margins' are features before a
    ReLU, those of the teacher raised to the margins of their channels.

    Attributes:
        student: With its graph.
        teacher: Without gradient, classes in the order of the student's.
        labels: The ground truth; soft labels, in [0, 1], with Mixup or
            CutMix; boxes of an image as corners x1, y1, x2, y2, (n, 4),
            fractions of the padded batch's width and height.
        weights: Weight of each sample; one of weight 0 does not count.
    """

    student: Tensor | tuple[Tensor, ...]
    teacher: Tensor | tuple[Tensor, ...]
    labels: Tensor | list[Tensor] | tuple[Tensor | None, Tensor] | None
    weights: Tensor | None


class Stage(NamedTuple):
    """What a tap reads of one stage of a cascade.

    Attributes:
        name: As in MMDetection's log, s0 for the first stage.
        factor: Of the term on this stage, that of the student's own losses.
        reading: What is compared.
    """

    name: str
    factor: float
    reading: Reading
