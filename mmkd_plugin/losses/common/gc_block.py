"""A block of global context, as in GCNet.

Shapes: B images; C channels and h x w places of a level.
"""

import torch
from torch import Tensor, nn


class GCBlock(nn.Module):
    """What an image as a whole adds to each channel of its map.

    With k a 1x1 convolution to one channel, U one to half of the channels
    (at least one) and V one back::

        context = sum over places of softmax(k F) F
        added = V ReLU(LayerNorm(U context))

    V begins with zeros, so nothing is added at the start.

    Args:
        channels: Channels C of the map.

    References:
        Cao, Xu, Lin, Wei, Hu. GCNet: Non-local Networks Meet
        Squeeze-Excitation Networks and Beyond. ICCV 2019 workshops, arXiv
        1904.11492; initial weights as in the code of FGD.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 2, 1)
        self.key = nn.Conv2d(channels, 1, 1)
        self.add = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LayerNorm([hidden, 1, 1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
        )
        nn.init.kaiming_normal_(self.key.weight, nonlinearity='relu')
        nn.init.zeros_(self.key.bias)  # type: ignore[arg-type]
        for parameter in self.add[3].parameters():
            nn.init.zeros_(parameter)

    def forward(self, maps: Tensor) -> Tensor:
        """What is added to the maps (B, C, h, w), of shape (B, C, 1, 1)."""
        attention = self.key(maps).flatten(1).softmax(dim=1)
        context = torch.einsum('bcp,bp->bc', maps.flatten(2), attention)
        return self.add(context[:, :, None, None])
