"""Wide ResNets for images of 32 x 32 pixels."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS

from ..arguments import check_integer
from ..exceptions import MMKDValueError


class PreActivationBlock(nn.Module):
    """Two 3 x 3 convolutions, each after its batch norm and ReLU.

    Where the number of channels changes, the shortcut is a 1 x 1 convolution
    after the first batch norm and ReLU, otherwise the input itself.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(
            in_channels, channels, 3, stride, padding=1, bias=False
        )
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut = None
        if in_channels != channels:
            self.shortcut = nn.Conv2d(
                in_channels, channels, 1, stride, bias=False
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(out)
        out = F.relu(self.bn2(self.conv1(out)))
        return shortcut + self.conv2(out)


@MODELS.register_module()
class CIFARWideResNet(BaseModule):
    """The network of `Wide Residual Networks
    <https://arxiv.org/abs/1605.07146>`_, Section 2, without dropout:
    ``wrn_16_2`` has depth 16 and twice the channels.

    MMPretrain has no such network; its ``ResNet_CIFAR`` with a larger
    ``base_channels`` activates after the convolutions and has a fourth stage.

    Args:
        depth: Number of layers, 6n + 4 for n blocks per stage: 16, 40.
        widen_factor: Factor of the 16, 32 and 64 channels of the three
            stages.
        init_cfg (dict | list[dict], optional): As in MMEngine; by default
            He's normal initialisation by the fan-out.

    Raises:
        ValueError: If there is no such network.
    """

    # What distillation compares, see `mmkd_plugin/taps/maps/stage_paths.py`:
    # sums before batch norm and ReLU, and what the next batch norm makes of
    # them.
    stage_paths = ('block1', 'block2', 'block3')
    preactivation_paths = ('block2.0.bn1', 'block3.0.bn1', 'bn1')

    def __init__(self, depth: int, widen_factor: int, init_cfg=None) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        check_integer('depth', depth, 0, 1000)
        blocks, rest = divmod(depth - 4, 6)
        if blocks < 1 or rest:
            raise MMKDValueError(
                'Expected argument `depth` to be 6n + 4, such as 16 or 40, '
                f'but got {depth!r}.'
            )
        check_integer('widen_factor', widen_factor, 1, 64)
        channels = (
            16,
            16 * widen_factor,
            32 * widen_factor,
            64 * widen_factor,
        )
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        stages = [
            nn.Sequential(
                PreActivationBlock(channels[i], channels[i + 1], stride),
                *(
                    PreActivationBlock(channels[i + 1], channels[i + 1], 1)
                    for _ in range(blocks - 1)
                ),
            )
            for i, stride in enumerate((1, 2, 2))
        ]
        self.block1, self.block2, self.block3 = stages
        self.bn1 = nn.BatchNorm2d(channels[-1])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the last feature map.

        Args:
            x: Images, (N, 3, 32, 32).

        Returns:
            One tensor, (N, 64 * widen_factor, 8, 8), after the batch norm and
            ReLU that follow the last block.
        """
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return (F.relu(self.bn1(x)),)
