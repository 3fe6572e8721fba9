"""ReviewKD, knowledge review: fuse the student's levels, then match them.

Shapes: B images, L levels, fine to coarse; C channels and h x w places of a
level.
"""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ..arguments import check_integer, check_weight
from .common.abf import ABF
from .common.maps import (
    Maps,
    check_channels,
    check_levels,
    check_places,
    check_width,
    prepare_maps,
)
from .common.reduction import numbers_in_use

# Sizes of the pooled maps, and how much less each of them counts than the one
# before.
POOLED = (4, 2, 1)
DECAY = 0.5
# Of the fused maps, if they are not told.
MOST_CHANNELS = 512

__all__ = ['ReviewKDLoss', 'hcl_loss']


def hcl_loss(student: Maps, teacher: Maps) -> Tensor:
    """Hierarchical context loss: squared distance of maps at several sizes.

    With pool_q the adaptive average pooling to q x q, and the mean over
    images, channels and places::

        MSE_q = mean (pool_q(s) - pool_q(t))^2
        level = (MSE + sum_q c_q MSE_q) / (1 + sum_q c_q)
        loss = sum of the levels

    over q = 4, 2, 1 below the height of the map.  c is 1/2, 1/4, 1/8 in the
    order of the pools in use: a map of height 4 has 1/2 for q = 2.  The
    width does not count.  A map of height 1 has its MSE alone.

    Args:
        student: L maps, each (B, C, h, w), any floating type.
        teacher: L maps of the same shapes; they get no gradient.

    Returns:
        A scalar, 0 or above, float32 (float64 for float64 maps).

    Raises:
        TypeError, ValueError: See
            :func:`~mmkd_plugin.losses.common.maps.prepare_maps`.

    References:
        Chen, Liu, Zhao, Jia. Distilling Knowledge via Knowledge Review. CVPR
        2021, arXiv 2104.09044, the section on the ABF and HCL; which pools
        are used, and the divisor, as in the authors' code.

    Example:
        >>> import torch
        >>> student = torch.tensor([[[[3.0, 0.0], [0.0, 0.0]]]])
        >>> loss = hcl_loss([student], [torch.zeros(1, 1, 2, 2)])
        >>> loss.item()  # (9 / 4 + (3 / 4)^2 / 2) / 1.5
        1.6875
    """
    pairs = prepare_maps(student, teacher)
    return torch.stack([_level(own - target) for own, target in pairs]).sum()


def _level(gap: Tensor) -> Tensor:
    """The loss of one level, of what student and teacher differ by."""
    height, width = gap.shape[2:]
    value, total, weight = gap.square().mean(), 1.0, 1.0
    source = gap
    for size in POOLED:
        if size >= height:
            continue
        weight *= DECAY
        total += weight
        pooled = F.adaptive_avg_pool2d(source, size)
        value = value + weight * pooled.square().mean()
        # The cells of this size do not overlap and are equally large, so the
        # next size is made of them, not of the map: it is read less often.
        if height % size == 0 and width % size == 0:
            source = pooled
    return value / total


@MODELS.register_module()
class ReviewKDLoss(nn.Module):
    """``loss_weight`` times :func:`hcl_loss` of the student's fused maps.

    From the coarsest level to the finest, a connector
    (:class:`~mmkd_plugin.losses.common.abf.ABF`) fuses a map of the student
    with what the next coarser connector hands down.  Only the connectors
    are trained here; they are of no use after training.  The teacher's maps
    are taken as they are: the loss has their scale, squared, and so has the
    weight that fits.

    The connectors normalise by the statistics of the batch of one process,
    as in the authors' code.  A teacher's map may have another size than the
    student's, as of two classifiers: the fused map is resized to it.

    Args:
        student_channels: Channels of the student's maps, (L,).
        teacher_channels: Channels of the teacher's maps, (L,).
        mid_channels: Channels of the fused maps.  None: those of the
            student's coarsest map, but 512 at most, as in the authors' code
            for classification.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.
    """

    kind = 'features'
    default_tap = dict(type='FeatureTap')
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        student_channels: Sequence[int],
        teacher_channels: Sequence[int],
        loss_weight: float,
        mid_channels: int | None = 256,
    ) -> None:
        super().__init__()
        check_weight(loss_weight=loss_weight)
        check_channels(
            student_channels=student_channels,
            teacher_channels=teacher_channels,
        )
        if mid_channels is None:
            mid_channels = min(MOST_CHANNELS, student_channels[-1])
        check_integer('mid_channels', mid_channels, 1)
        self.loss_weight = loss_weight
        self.student_channels = student_channels
        self.teacher_channels = teacher_channels
        self.mid_channels = mid_channels
        coarsest = len(student_channels) - 1
        self.connectors = nn.ModuleList(
            ABF(own, mid_channels, target, fuse=i < coarsest)
            for i, (own, target) in enumerate(
                zip(student_channels, teacher_channels)
            )
        )

    def forward(
        self,
        student: Maps,
        teacher: Maps,
        labels: object,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: L maps of shape (B, C, h, w).
            teacher: L maps of the same batch.
            labels: Not used; all losses have the same signature.
            weights: Not used.

        Returns:
            A scalar.

        Raises:
            TypeError, ValueError: The maps are not those that the arguments
                tell of, or there is one image whose map has one place.
        """
        check_levels(student, teacher, self.connectors)
        outputs: list[Tensor] = []
        fused = None
        for i in reversed(range(len(student))):
            own = student[i]
            check_width('student', own, self.student_channels[i], i)
            if self.training:
                check_places(own, i, type(self).__name__)
            output, fused = self.connectors[i](
                own, fused, teacher[i].shape[2:]
            )
            outputs.insert(0, output)
        return self.loss_weight * hcl_loss(outputs, teacher)
