"""MobileNet, the first version, for ImageNet."""

import torch
import torch.nn as nn
from mmengine.model import BaseModule
from mmengine.registry import MODELS

from .conv_bn_relu import conv_bn_relu

STEM_CHANNELS = 32
# Channels and stride of each depthwise separable convolution.
LAYERS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)


@MODELS.register_module()
class MobileNetV1(BaseModule):
    """The network of `MobileNets: Efficient Convolutional Neural Networks for
    Mobile Vision Applications <https://arxiv.org/abs/1704.04861>`_, Table 1,
    at full width, with stride 1 in the last layer.

    MMPretrain has only the second and the third version.

    Args:
        init_cfg (dict | list[dict], optional): As in MMEngine; by default
            PyTorch's initialisation of the layers.
    """

    # What distillation compares, see `mmkd_plugin/taps/maps/stage_paths.py`.
    stage_paths = ('layers.3', 'layers.5', 'layers.11', 'layers.13')

    def __init__(self, init_cfg=None) -> None:
        super().__init__(init_cfg)
        in_channels = STEM_CHANNELS
        stem = conv_bn_relu(3, in_channels, 3, stride=2)
        self.layers = nn.Sequential(nn.Sequential(*stem))
        for channels, stride in LAYERS:
            depthwise = conv_bn_relu(
                in_channels, in_channels, 3, stride, groups=in_channels
            )
            pointwise = conv_bn_relu(in_channels, channels, 1)
            self.layers.append(
                nn.Sequential(
                    nn.Sequential(*depthwise), nn.Sequential(*pointwise)
                )
            )
            in_channels = channels

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """Compute the last feature map.

        Args:
            x: Images, (N, 3, 224, 224).

        Returns:
            One tensor, (N, 1024, 7, 7).
        """
        return (self.layers(x),)
