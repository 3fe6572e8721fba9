"""ShuffleNet for images of 32 x 32 pixels."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS

GROUPS = 3
STEM_CHANNELS = 24
# Channels and number of units of each stage.
STAGES = ((240, 4), (480, 8), (960, 4))


class ShuffleUnit(nn.Module):
    """Grouped convolutions with a channel shuffle, plus a shortcut.

    The first unit of a stage halves the resolution, and concatenates its
    pooled input instead of adding it.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        is_first: Whether it is the first of its stage.
        groups: Groups of the first convolution.
    """

    def __init__(
        self, in_channels: int, channels: int, is_first: bool, groups: int
    ) -> None:
        super().__init__()
        self.is_first = is_first
        if is_first:
            channels -= in_channels
        hidden = channels // 4
        self.conv1 = nn.Conv2d(
            in_channels, hidden, 1, groups=groups, bias=False
        )
        self.bn1 = nn.BatchNorm2d(hidden)
        self.shuffle = nn.ChannelShuffle(groups)
        self.conv2 = nn.Conv2d(
            hidden,
            hidden,
            3,
            stride=2 if is_first else 1,
            padding=1,
            groups=hidden,
            bias=False,
        )
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, channels, 1, groups=GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        # A module, so that what it is given can be read.
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.shuffle(F.relu(self.bn1(self.conv1(x))))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.is_first:
            pooled = F.avg_pool2d(x, 3, stride=2, padding=1)
            return self.relu(torch.cat((out, pooled), dim=1))
        return self.relu(out + x)


@MODELS.register_module()
class CIFARShuffleNetV1(BaseModule):
    """The network of `ShuffleNet: An Extremely Efficient Convolutional Neural
    Network for Mobile Devices <https://arxiv.org/abs/1707.01083>`_, with 3
    groups, in the form for CIFAR on which distillation methods are compared.

    Unlike in MMPretrain's ``ShuffleNetV1``, the stem is a 1 x 1 convolution
    without stride or pooling, and there is a ReLU after the depthwise
    convolution, which the paper does not have.

    Args:
        init_cfg (dict | list[dict], optional): As in MMEngine; by default
            PyTorch's initialisation of the layers.
    """

    # What distillation compares, see `mmkd_plugin/taps/maps/stage_paths.py`.
    stage_paths = ('layer1', 'layer2', 'layer3')

    def __init__(self, init_cfg=None) -> None:
        super().__init__(init_cfg)
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        in_channels, groups, stages = STEM_CHANNELS, 1, []
        for channels, units in STAGES:
            stage = nn.Sequential()
            for index in range(units):
                stage.append(
                    ShuffleUnit(in_channels, channels, index == 0, groups)
                )
                # The stem has too few channels to be grouped.
                in_channels, groups = channels, GROUPS
            stages.append(stage)
        self.layer1, self.layer2, self.layer3 = stages

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the last feature map.

        Args:
            x: Images, (N, 3, 32, 32).

        Returns:
            One tensor, (N, 960, 4, 4).
        """
        x = F.relu(self.bn1(self.conv1(x)))
        return (self.layer3(self.layer2(self.layer1(x))),)
