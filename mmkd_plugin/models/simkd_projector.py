"""The layers with which a SimKD student imitates its teacher's last map."""

from collections.abc import Sequence

import torch.nn as nn
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from ..arguments import check_integer
from ..exceptions import MMKDValueError
from .conv_bn_relu import conv_bn_relu


@MODELS.register_module()
class SimKDProjector(BaseModule):
    """Neck that gives the last map the channels of the teacher's.

    Three convolutions without bias, 1x1, 3x3 and 1x1, each with batch norm
    and ReLU, the middle ones of ``out_channels / ratio`` channels.  It stands
    before the global pooling, in training and when the model is used::

        neck=[
            dict(type='SimKDProjector', in_channels=..., out_channels=...),
            dict(type='GlobalAveragePooling'),
        ]

    Args:
        in_channels: Channels of the student's last map.
        out_channels: Channels of the teacher's last map, which its classifier
            reads.
        ratio: What ``out_channels`` is divided by, rounded down.
        init_cfg (dict | list[dict], optional): As in MMEngine; by default the
            layers begin as PyTorch makes them.

    Raises:
        ValueError: An argument is out of range.

    References:
        Chen, Mei, Zhang, Wang, Feng, Chen. Knowledge Distillation with the
        Reused Teacher Classifier. CVPR 2022, arXiv 2203.14001, the section on
        feature alignment; ``ratio`` is its reduction factor.

    Example:
        >>> import torch
        >>> projector = SimKDProjector(in_channels=64, out_channels=256)
        >>> (projected,) = projector((torch.ones(2, 64, 8, 8),))
        >>> projected.shape
        torch.Size([2, 256, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ratio: int = 2,
        init_cfg=None,
    ) -> None:
        super().__init__(init_cfg)
        check_integer('in_channels', in_channels, 1)
        check_integer('out_channels', out_channels, 1)
        check_integer('ratio', ratio, 1, out_channels)
        self.in_channels = in_channels
        middle = out_channels // ratio
        self.layers = nn.Sequential(
            *conv_bn_relu(in_channels, middle, 1),
            *conv_bn_relu(middle, middle, 3),
            *conv_bn_relu(middle, out_channels, 1),
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        """Project the last map.

        Args:
            maps: What the backbone gives; the last is (N, in_channels, h, w).

        Returns:
            One map, (N, out_channels, h, w).

        Raises:
            ValueError: It has other channels.
        """
        wanted, found = self.in_channels, maps[-1].shape[1]
        if found != wanted:
            raise MMKDValueError(
                'Expected argument `in_channels` of SimKDProjector to be '
                f'{found}, the channels of the last map of the backbone, but '
                f'got {wanted}.'
            )
        return (self.layers(maps[-1]),)
