"""MobileNetV2 for images of 32 x 32 pixels."""

import torch
import torch.nn as nn
from mmengine.model import BaseModule
from mmengine.registry import MODELS

from ..arguments import check_number
from .conv_bn_relu import conv_bn_relu

# Expansion, channels at full width, blocks and stride of each stage.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, and projection without a ReLU.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride of the depthwise convolution.
        expansion: Hidden channels per input channel; even 1 has an expanding
            convolution.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.has_shortcut = stride == 1 and in_channels == channels
        self.conv = nn.Sequential(
            *conv_bn_relu(in_channels, hidden, 1),
            *conv_bn_relu(hidden, hidden, 3, stride, groups=hidden),
            *conv_bn_relu(hidden, channels, 1)[:-1],
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.has_shortcut else self.conv(x)


@MODELS.register_module()
class CIFARMobileNetV2(BaseModule):
    """The network of `MobileNetV2: Inverted Residuals and Linear Bottlenecks
    <https://arxiv.org/abs/1801.04381>`_, in the form for CIFAR on which
    distillation methods are compared.

    Unlike in MMPretrain's ``MobileNetV2``, the second stage has stride 1, the
    first block has an expanding convolution too (with factor 1), ReLU is not
    clipped at 6, and widths are rounded down, not to multiples of 8.

    Args:
        widen_factor: Factor of the channels; the last 1280 are only
            multiplied if it is above 1.
        init_cfg (dict | list[dict], optional): As in MMEngine; by default
            He's normal initialisation by the fan-out.

    Raises:
        ValueError: If a layer would have no channels.
    """

    # What distillation compares, see `mmkd_plugin/taps/maps/stage_paths.py`:
    # these have no ReLU behind them.
    stage_paths = ('blocks.1', 'blocks.2', 'blocks.4', 'blocks.6')

    def __init__(self, widen_factor: float = 0.5, init_cfg=None) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        check_number('widen_factor', widen_factor, 1 / 16, 16)
        in_channels = int(32 * widen_factor)
        self.conv1 = nn.Sequential(*conv_bn_relu(3, in_channels, 3, stride=2))
        self.blocks = nn.Sequential()
        for expansion, width, count, stride in STAGES:
            channels = int(width * widen_factor)
            stage = nn.Sequential()
            for index in range(count):
                stage.append(
                    InvertedResidual(
                        in_channels,
                        channels,
                        stride if index == 0 else 1,
                        expansion,
                    )
                )
                in_channels = channels
            self.blocks.append(stage)
        self.conv2 = nn.Sequential(
            *conv_bn_relu(in_channels, int(1280 * max(widen_factor, 1)), 1)
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the last feature map.

        Args:
            x: Images, (N, 3, 32, 32).

        Returns:
            One tensor, (N, 1280, 2, 2).
        """
        return (self.conv2(self.blocks(self.conv1(x))),)
