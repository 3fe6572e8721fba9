"""ShuffleNetV2 for images of 32 x 32 pixels."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS

STEM_CHANNELS = 24
# Channels and number of units of each stage.
STAGES = ((116, 4), (232, 8), (464, 4))
OUT_CHANNELS = 1024


def _depthwise(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(
        channels,
        channels,
        3,
        stride,
        padding=1,
        groups=channels,
        bias=False,
    )


class SplitUnit(nn.Module):
    """Convolve the second half of the channels, then shuffle both halves.

    Args:
        channels: Channels of the input and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = _depthwise(half, stride=1)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        # A module, so that what it is given can be read.
        self.relu = nn.ReLU()
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, out = x.chunk(2, dim=1)
        out = F.relu(self.bn1(self.conv1(out)))
        out = self.bn2(self.conv2(out))
        out = self.bn3(self.conv3(out))
        # Of the half that is kept, a ReLU changes nothing: it is after one.
        return self.shuffle(self.relu(torch.cat((kept, out), dim=1)))


class DownUnit(nn.Module):
    """Halve the resolution in two branches, then shuffle their channels.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output, half of them per branch.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = _depthwise(in_channels, stride=2)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)

        self.conv3 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = _depthwise(half, stride=2)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = nn.Conv2d(half, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.bn1(self.conv1(x))
        first = F.relu(self.bn2(self.conv2(first)))
        second = F.relu(self.bn3(self.conv3(x)))
        second = self.bn4(self.conv4(second))
        second = F.relu(self.bn5(self.conv5(second)))
        return self.shuffle(torch.cat((first, second), dim=1))


@MODELS.register_module()
class CIFARShuffleNetV2(BaseModule):
    """The network of `ShuffleNet V2: Practical Guidelines for Efficient CNN
    Architecture Design <https://arxiv.org/abs/1807.11164>`_, at full width,
    in the form for CIFAR on which distillation methods are compared.

    Unlike in MMPretrain's ``ShuffleNetV2``, the stem is a 1 x 1 convolution
    without stride or pooling.

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
        in_channels, stages = STEM_CHANNELS, []
        for channels, units in STAGES:
            stages.append(
                nn.Sequential(
                    DownUnit(in_channels, channels),
                    *(SplitUnit(channels) for _ in range(units - 1)),
                )
            )
            in_channels = channels
        self.layer1, self.layer2, self.layer3 = stages
        self.conv2 = nn.Conv2d(in_channels, OUT_CHANNELS, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(OUT_CHANNELS)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the last feature map.

        Args:
            x: Images, (N, 3, 32, 32).

        Returns:
            One tensor, (N, 1024, 4, 4).
        """
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return (F.relu(self.bn2(self.conv2(x))),)
