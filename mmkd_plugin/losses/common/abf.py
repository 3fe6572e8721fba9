"""ABF, attention-based fusion: the connector of ReviewKD.

Shapes: B images; C channels and h x w places of a level.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class ABF(nn.Module):
    """Fuse a map with a coarser one, and give it the teacher's channels.

    For a map F and the fused map r' of the next coarser level::

        x = BN(conv1x1(F))
        y = r', resized to the size of x by the nearest neighbour
        a, b = sigmoid(conv1x1([x, y]))             two maps of one channel
        r = a x + b y                               or x, without a coarser map
        output = BN(conv3x3(r))

    If another size is wanted, r is resized to it, by the nearest neighbour,
    before the last line.

    There is no ReLU.  The convolutions before a BN have no bias, and their
    weights are drawn uniformly, with a variance of 1 / (inputs of a unit).

    Args:
        student_channels: Channels of F.
        mid_channels: Channels of x, y and r.
        teacher_channels: Channels of the output.
        fuse: Whether there is a coarser map.

    References:
        Chen, Liu, Zhao, Jia. Distilling Knowledge via Knowledge Review. CVPR
        2021, arXiv 2104.09044, the section on the ABF and HCL; layers as in
        the authors' code for detection, the size as in that for
        classification.
    """

    def __init__(
        self,
        student_channels: int,
        mid_channels: int,
        teacher_channels: int,
        *,
        fuse: bool,
    ) -> None:
        super().__init__()
        self.reduce = _conv_bn(student_channels, mid_channels, 1)
        self.attention = nn.Conv2d(2 * mid_channels, 2, 1) if fuse else None
        self.expand = _conv_bn(mid_channels, teacher_channels, 3)

    def forward(
        self,
        own: Tensor,
        coarser: Tensor | None = None,
        size: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Fuse a map.

        Args:
            own: F, of shape (B, student_channels, h, w), any floating type.
            coarser: r', of shape (B, mid_channels, any, any); not used
                unless ``fuse``.
            size: H and W of the output; None: h and w.

        Returns:
            Output, (B, teacher_channels, H, W), and r, (B, mid_channels, H,
            W), for the next finer level.
        """
        fused = self.reduce(own.to(next(self.parameters()).dtype))
        if self.attention is not None and coarser is not None:
            places = fused.shape[2:]
            # conv1x1([x, y]) in two parts: that of y on the coarser map, and
            # [x, y] itself is never made.
            near, far = self.attention.weight.chunk(2, dim=1)
            logits = F.conv2d(fused, near, self.attention.bias)
            logits = logits + _resized(F.conv2d(coarser, far), places)
            a, b = logits.sigmoid().chunk(2, dim=1)
            fused = a * fused + b * _resized(coarser, places)
        if size is not None:
            fused = _resized(fused, size)
        return self.expand(fused), fused


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """The maps in a size, by the nearest neighbour."""
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size))


def _conv_bn(channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(
        channels, out_channels, kernel, padding=kernel // 2, bias=False
    )
    nn.init.kaiming_uniform_(conv.weight, a=1)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))
