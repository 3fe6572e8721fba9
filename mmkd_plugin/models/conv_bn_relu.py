"""Convolution, batch norm and ReLU, as in the MobileNets."""

import torch.nn as nn


def conv_bn_relu(
    in_channels: int,
    channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
) -> list[nn.Module]:
    """Padded convolution without a bias, batch norm and ReLU.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        kernel: Size of the kernel, odd.
        stride: Stride.
        groups: Groups of the convolution.

    Returns:
        The three layers.
    """
    return [
        nn.Conv2d(
            in_channels,
            channels,
            kernel,
            stride,
            padding=kernel // 2,
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    ]
