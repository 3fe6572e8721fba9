"""ResNets for images of 32 x 32 pixels."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS

from ..arguments import check_integer, shown
from ..exceptions import MMKDValueError


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions plus a shortcut, and a ReLU after the sum.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, channels, 3, stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False),
                nn.BatchNorm2d(channels),
            )
        # A module, so that the sum can be read, which it is given.
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.downsample(x))


@MODELS.register_module()
class CIFARResNet(BaseModule):
    """The ResNet for CIFAR of `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_, Section 4.2, in the form on which
    distillation methods are compared.

    It is small: a stem and three stages with 16, 16, 32 and 64 channels, while
    MMPretrain's ``ResNet_CIFAR`` is the network for ImageNet, with four stages
    from 64 channels on and a stem for small images.  Shortcuts that change the
    shape are 1 x 1 convolutions; the paper pads with zeros.  ``resnet8x4`` and
    ``resnet32x4`` have other ``channels``.

    Args:
        depth: Number of layers, 6n + 2 for n blocks per stage: 20, 32, 56,
            110.
        channels: Channels of the stem and of the three stages;
            ``(32, 64, 128, 256)`` for ``resnet8x4`` and ``resnet32x4``.
        init_cfg (dict | list[dict], optional): As in MMEngine; by default
            He's normal initialisation by the fan-out.

    Raises:
        ValueError: If there is no such network.
    """

    # What distillation compares, see `mmkd_plugin/taps/maps/stage_paths.py`.
    stage_paths = ('layer1', 'layer2', 'layer3')

    def __init__(
        self,
        depth: int,
        channels: tuple[int, ...] = (16, 16, 32, 64),
        init_cfg=None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        check_integer('depth', depth, 0, 1202)
        blocks, rest = divmod(depth - 2, 6)
        if blocks < 1 or rest:
            raise MMKDValueError(
                'Expected argument `depth` to be 6n + 2, such as 8, 20, 32, '
                f'56 or 110, but got {depth!r}.'
            )
        if not isinstance(channels, (list, tuple)) or len(channels) != 4:
            raise MMKDValueError(
                'Expected argument `channels` to hold four numbers, of the '
                f'stem and of the three stages, but got {shown(channels)}.'
            )
        for number in channels:
            check_integer('channels', number, 1, 4096)
        self.conv1 = nn.Conv2d(3, channels[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        stages = [
            nn.Sequential(
                BasicBlock(channels[i], channels[i + 1], stride),
                *(
                    BasicBlock(channels[i + 1], channels[i + 1], 1)
                    for _ in range(blocks - 1)
                ),
            )
            for i, stride in enumerate((1, 2, 2))
        ]
        self.layer1, self.layer2, self.layer3 = stages

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the last feature map.

        Args:
            x: Images, (N, 3, 32, 32).

        Returns:
            One tensor, (N, channels[-1], 8, 8).
        """
        x = F.relu(self.bn1(self.conv1(x)))
        return (self.layer3(self.layer2(self.layer1(x))),)
