"""ABF, attention-based fusion: the connector of ReviewKD.

Shapes: B images; C channels and h x w places of a level.
"""

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
        the authors' code for detection.
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
        self, own: Tensor, coarser: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Fuse a map.

        Args:
            own: F, of shape (B, student_channels, h, w), any floating type.
            coarser: r', of shape (B, mid_channels, any, any); not used
                unless ``fuse``.

        Returns:
            Output, (B, teacher_channels, h, w), and r, (B, mid_channels, h,
            w), for the next finer level.
        """
        fused = self.reduce(own.to(next(self.parameters()).dtype))
        if self.attention is not None and coarser is not None:
            size = fused.shape[2:]
            # conv1x1([x, y]) in two parts: that of y on the coarser map, and
            # [x, y] itself is never made.
            near, far = self.attention.weight.chunk(2, dim=1)
            logits = F.conv2d(fused, near, self.attention.bias)
            logits = logits + F.interpolate(F.conv2d(coarser, far), size=size)
            a, b = logits.sigmoid().chunk(2, dim=1)
            fused = a * fused + b * F.interpolate(coarser, size=size)
        return self.expand(fused), fused


def _conv_bn(channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(
        channels, out_channels, kernel, padding=kernel // 2, bias=False
    )
    nn.init.kaiming_uniform_(conv.weight, a=1)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))
