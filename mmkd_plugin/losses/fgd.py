"""FGD, focal and global distillation: the teacher's maps, place by place.

Shapes: B images, L levels; C channels and h x w places of a level; n boxes of
an image.
"""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_tau, check_weight
from ..exceptions import MMKDTypeError
from .common.box_masks import box_masks
from .common.gc_block import GCBlock
from .common.maps import (
    Maps,
    build_adapters,
    check_channels,
    check_levels,
    check_width,
    prepare_maps,
)
from .common.reduction import numbers_in_use

__all__ = ['FGDLoss']


@MODELS.register_module()
class FGDLoss(nn.Module):
    """Distance of maps where boxes and the teacher's attention are.

    Per level, with d = F^S - F^T, sums over images, channels and places, and
    attention A_s over places and A_c over channels::

        A_s = h w softmax(mean_c |F| / tau)
        A_c = C softmax(mean_hw |F| / tau)
        feature = sum (alpha M_fg + beta M_bg) A_s^T A_c^T d^2
        attention = sum |A_s^S - A_s^T| + sum |A_c^S - A_c^T|
        relation = sum (R_T(F^T) - R_S(F^S))^2
        loss = (feature + gamma attention + lambda_ relation) / B

    M_fg and M_bg are the masks of foreground and background
    (:func:`~mmkd_plugin.losses.common.box_masks.box_masks`), R_S and R_T two
    trained blocks of global context
    (:class:`~mmkd_plugin.losses.common.gc_block.GCBlock`), which change
    nothing at the start.  The loss is a sum over levels, and the finest has
    most of it.  Blocks and adapters are of no use after training.

    Boxes are fractions of the padded batch.  The authors divide them by the
    size of the image without its padding, which stretches the boxes of an
    image that is padded; that is not copied here.

    Args:
        alpha: Factor of the foreground, 0 or above.
        beta: Factor of the background, 0 or above.
        gamma: Factor of the attention, 0 or above.
        lambda_: Factor of the relations, 0 or above.
        tau: Temperature of the attention, positive.
        teacher_channels: Channels of the teacher's maps, (L,).
        student_channels: Channels of the student's maps, (L,), for a 1x1
            convolution before everything else.  None: they are the
            teacher's, and there is no convolution.
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.

    References:
        Yang, Li, Jiang, Gong, Yuan, Zhao, Yuan. Focal and Global Knowledge
        Distillation for Detectors. CVPR 2022, arXiv 2111.11837, the sections
        on focal and global distillation; normalisers and the adapter as in
        the authors' code.
    """

    kind = 'features'
    default_tap = dict(type='FeatureTap', levels=['p2', 'p3', 'p4', 'p5'])
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        gamma: float,
        lambda_: float,
        tau: float,
        teacher_channels: Sequence[int],
        student_channels: Sequence[int] | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_weight(alpha=alpha, beta=beta, gamma=gamma, lambda_=lambda_)
        check_weight(loss_weight=loss_weight)
        check_tau(tau=tau)
        check_channels(teacher_channels=teacher_channels)
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.lambda_ = lambda_
        self.tau = tau
        self.loss_weight = loss_weight
        self.teacher_channels = teacher_channels
        self.student_channels = student_channels
        self.adapters = None
        if student_channels is not None:
            self.adapters = build_adapters(student_channels, teacher_channels)
        self.student_blocks = nn.ModuleList(map(GCBlock, teacher_channels))
        self.teacher_blocks = nn.ModuleList(map(GCBlock, teacher_channels))

    def forward(
        self,
        student: Maps,
        teacher: Maps,
        labels: Sequence[Tensor] | None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: L maps of shape (B, C, h, w).
            teacher: L maps of the same batch and sizes.
            labels: Boxes of each image, (n, 4), corners x1, y1, x2, y2 as
                fractions of the padded batch's width and height.  n may be
                0: all of the image is background.
            weights: Not used.

        Returns:
            A scalar.

        Raises:
            TypeError, ValueError: The maps or boxes are not those that the
                arguments tell of.
        """
        if labels is None:
            raise MMKDTypeError(
                'Expected argument `labels` to be the boxes of each image, '
                'which FGDLoss weighs the places by, but got None: train a '
                'detector on images with boxes, or take a loss that needs '
                'none, such as MGDLoss.'
            )
        check_levels(student, teacher, self.student_blocks)
        losses = []
        for i, (own, target) in enumerate(
            prepare_maps(student, teacher, self.adapters)
        ):
            check_width('teacher', target, self.teacher_channels[i], i)
            gap = own - target
            added = self.student_blocks[i](own)
            added = added - self.teacher_blocks[i](target)
            foreground, background = box_masks(labels, target)
            mask = self.alpha * foreground + self.beta * background
            places, channels = attention(own, self.tau)
            to_places, to_channels = attention(target, self.tau)
            feature = (gap.square() * to_channels).sum(dim=1, keepdim=True)
            value = (
                (feature * to_places * mask).sum()
                + self.gamma * (places - to_places).abs().sum()
                + self.gamma * (channels - to_channels).abs().sum()
                + self.lambda_ * (gap + added).square().sum()
            )
            losses.append(value / len(own))
        return self.loss_weight * torch.stack(losses).sum()


def attention(maps: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """Where a map is large, in space and among the channels.

    Args:
        maps: Shape (B, C, h, w).
        tau: Temperature; the smaller, the more the largest stand out.

    Returns:
        A_s, (B, 1, h, w), with the sum h w per image, and A_c, (B, C, 1, 1),
        with the sum C.
    """
    size = maps.abs()
    places = size.mean(dim=1, keepdim=True) / tau
    channels = size.mean(dim=(2, 3), keepdim=True) / tau
    shares = places.flatten(2).softmax(dim=2).view_as(places)
    return shares * maps[0, 0].numel(), channels.softmax(1) * maps.shape[1]
