"""VGG networks for images of 32 x 32 pixels."""

import torch
import torch.nn as nn
from mmengine.model import BaseModule
from mmengine.registry import MODELS

from ..arguments import check_integer
from ..exceptions import MMKDValueError

# Channels of the convolutions, block by block.
BLOCKS = {
    8: ((64,), (128,), (256,), (512,), (512,)),
    13: ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
}


@MODELS.register_module()
class CIFARVGG(BaseModule):
    """The VGG of `Very Deep Convolutional Networks for Large-Scale Image
    Recognition <https://arxiv.org/abs/1409.1556>`_, with batch normalisation,
    in the form for CIFAR on which distillation methods are compared.

    Unlike MMPretrain's ``VGG`` it only pools after the first three blocks, so
    that a small image still gives a feature map, and it has no hidden fully
    connected layers.  Depth 8, one convolution per block, is not in the paper.

    Args:
        depth: 8 or 13.
        init_cfg (dict | list[dict], optional): As in MMEngine; by default
            He's normal initialisation by the fan-out.

    Raises:
        ValueError: If there is no such network.
    """

    def __init__(self, depth: int, init_cfg=None) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        check_integer('depth', depth)
        if depth not in BLOCKS:
            raise MMKDValueError(
                f'Expected argument `depth` to be one of {list(BLOCKS)}, but '
                f'got {depth!r}.'
            )
        in_channels = 3
        for index, widths in enumerate(BLOCKS[depth]):
            layers = []
            for channels in widths:
                layers += [
                    nn.Conv2d(in_channels, channels, 3, padding=1),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(inplace=True),
                ]
                in_channels = channels
            if index < 3:
                layers.append(nn.MaxPool2d(2))
            self.add_module(f'block{index}', nn.Sequential(*layers))
        # What distillation compares, the last ReLU of a block before the
        # pooling, see `mmkd_plugin/taps/maps/stage_paths.py`.
        self.stage_paths = tuple(
            f'block{index}.{3 * len(widths) - 1}'
            for index, widths in enumerate(BLOCKS[depth])
            if index
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the last feature map.

        Args:
            x: Images, (N, 3, 32, 32).

        Returns:
            One tensor, (N, 512, 4, 4).
        """
        for block in self.children():
            x = block(x)
        return (x,)
