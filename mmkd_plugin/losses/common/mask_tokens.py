"""Receptive tokens: learned masks on the maps of a model.

Shapes: B images, T tokens; C channels and h x w places of a level.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...checkpoints.known_kinds import UnsafeFileError
from ...checkpoints.reading import split_checkpoint
from ...checkpoints.unpickling import read_file
from ...checkpoints.zoo import SCHEMES, fetch
from ...exceptions import MMKDValueError

# Names of the levels in a file of tokens, 'mask_modules.0.mask_token' and so
# on, those of the authors' files; what stands before does not matter.
FILE_PREFIX = 'mask_modules.'


class MaskTokens(nn.Module):
    """Tokens that mark places of a map, and how much each of them counts.

    ``mask_token`` holds a vector t of C numbers per token, drawn from N(0,
    0.01^2)::

        mask_t = sigmoid(t . F), at every place
        share = softmax over the tokens of conv1x1(avgpool(conv3x3(F)))

    They are trained by what a model still recognises in the masked map, see
    :meth:`forward`, and by :func:`overlap`.

    Args:
        channels: Channels C of the map.
        num_tokens: Number T of tokens.

    References:
        Huang, Zhang, You, Wang, Qian, Cao, Xu. Masked Distillation with
        Receptive Tokens. ICLR 2023, arXiv 2205.14589, the sections on
        receptive tokens and mask weighting; initial weights as in the
        authors' code.
    """

    def __init__(self, channels: int, num_tokens: int) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(
            0.01 * torch.randn(num_tokens, channels)
        )
        # The names are those of the authors' files; the pooling, between the
        # two, comes before the first here.
        self.prob = nn.Sequential(
            nn.Conv2d(channels, channels, 3),
            nn.Identity(),
            nn.Conv2d(channels, num_tokens, 1),
        )
        for conv in (self.prob[0], self.prob[2]):
            fan_out = conv.weight[:, 0].numel()  # type: ignore[index]
            nn.init.normal_(conv.weight, std=math.sqrt(2 / fan_out))  # type: ignore[arg-type]
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def masks(self, maps: Tensor) -> Tensor:
        """A mask per token, (B, T, h, w) in 0 .. 1, of maps (B, C, h, w)."""
        return F.conv2d(maps, self.mask_token[:, :, None, None]).sigmoid()

    def shares(self, maps: Tensor) -> Tensor:
        """How much each token counts, (B, T), of maps (B, C, h, w).

        The mean of a 3x3 convolution needs the means of the nine windows
        that it slides over, not the convolution.
        """
        height, width = maps.shape[2:]
        padded = F.pad(maps, (1, 1, 1, 1))
        rows = torch.stack(
            [padded[..., j : j + width].mean(dim=3) for j in range(3)], dim=3
        )
        windows = torch.stack(
            [rows[:, :, i : i + height].mean(dim=2) for i in range(3)], dim=2
        )
        return self.prob(windows).flatten(1).softmax(dim=1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """What the tokens leave of a map, and how much they overlap.

        Args:
            maps: Shape (B, C, h, w).

        Returns:
            sum_t share_t mask_t F, of the shape of ``maps``, and the scalar
            of :func:`overlap`.
        """
        masks = self.masks(maps)
        left = torch.einsum('bt,btyx->byx', self.shares(maps), masks)
        return maps * left.unsqueeze(1), overlap(masks)


def overlap(masks: Tensor) -> Tensor:
    """Mean dice coefficient of two masks of an image.

    With sums over the places::

        dice(a, b) = 2 sum a b / (sum a^2 + sum b^2)

    It is 1 for equal masks, and 0 for masks without a common place or
    without any.

    Args:
        masks: Shape (B, T, h, w), 0 or above.

    Returns:
        The mean over images and pairs of tokens, a scalar in 0 .. 1; 0 for
        one token.
    """
    rows = masks.flatten(2)
    products = rows @ rows.transpose(1, 2)
    squares = products.diagonal(dim1=1, dim2=2)
    sums = squares.unsqueeze(1) + squares.unsqueeze(2)
    # Masks of zeros have no overlap, not a quotient of zeros.
    dice = 2 * products / sums.clamp(min=torch.finfo(sums.dtype).tiny)
    count = masks.shape[1]
    first, second = torch.triu_indices(count, count, offset=1)
    pairs = dice[:, first, second]
    return pairs.sum() / max(pairs.numel(), 1)


def read_tokens(path: str) -> tuple[dict[str, Tensor], dict]:
    """Read the tokens of all levels.

    Args:
        path: Path or URL of a file of ``torch.save`` or of safetensors.

    Returns:
        The state dict of a ``nn.ModuleList`` of :class:`MaskTokens`, and the
        ``meta`` of the file, empty if there is none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or holds no tokens.
    """
    file = Path(path).expanduser()
    if path.startswith(SCHEMES):
        file = fetch(path)
    try:
        content = read_file(
            file, 'cpu', f'The file of tokens {path!r}', 'the path or URL'
        )
    except UnsafeFileError as error:
        raise MMKDValueError(
            f'The file of tokens {path!r} was refused: {error.__cause__} Give '
            'one that the training of the tokens has written.'
        ) from error
    state, meta = split_checkpoint(content, path)
    found = {
        name.partition(FILE_PREFIX)[2]: value
        for name, value in state.items()
        if FILE_PREFIX in name
    }
    if not found:
        raise MMKDValueError(
            f'The file {path!r} holds no tokens of MasKD, whose names contain '
            f'{FILE_PREFIX!r}; the first one is {next(iter(state))!r}: give '
            'one that the training of the tokens has written.'
        )
    return found, meta


def check_tokens(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: str
) -> None:
    """Raise ValueError unless tokens have the wanted names and shapes.

    Args:
        state: State dict of :func:`read_tokens`.
        wanted: State dict of the modules that they are for.
        path: Where they were read, for the message.
    """
    shapes, expected = (
        {name: tuple(value.shape) for name, value in tensors.items()}
        for tensors in (state, wanted)
    )
    for name in sorted({*shapes, *expected}):
        if shapes.get(name) != expected.get(name):
            raise MMKDValueError(
                f'The tokens in {path!r} do not fit: {name} has the shape '
                f'{shapes.get(name)} instead of {expected.get(name)}; set '
                '`num_tokens` and `teacher_channels` to those that they were '
                'trained with.'
            )
