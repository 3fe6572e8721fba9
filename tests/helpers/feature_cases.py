"""The maps and boxes that every test of a feature loss runs through."""

import math
from typing import NamedTuple

import torch


class Maps(NamedTuple):
    """Maps of both, fine to coarse, and the boxes of each image.

    Boxes are (n, 4), x1 y1 x2 y2 as fractions of width and height.
    """

    student: tuple
    teacher: tuple
    boxes: list

    def to(self, dtype):
        """The maps in another type; the boxes stay in float32."""
        return Maps(
            tuple(own.to(dtype) for own in self.student),
            tuple(target.to(dtype) for target in self.teacher),
            self.boxes,
        )

    def channels(self):
        """The arguments with which a loss makes its adapters."""
        return dict(
            student_channels=[own.shape[1] for own in self.student],
            teacher_channels=[target.shape[1] for target in self.teacher],
        )


def draw(images, *levels, seed, student=None, scale=2.0):
    """Maps (images, C, h, w) drawn at random, for each level's C, h, w.

    Each channel has an offset of its own.  ``student`` has the channels of
    the student's maps where they are others.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw_map(channels, size):
        offset = torch.randn(channels, 1, 1, generator=generator)
        noise = torch.randn(images, channels, *size, generator=generator)
        return scale * (noise + offset)

    own = student or [channels for channels, *_ in levels]
    maps = [
        (draw_map(c, size), draw_map(channels, size))
        for c, (channels, *size) in zip(own, levels, strict=True)
    ]
    boxes = []
    for i in range(images):
        # The last of several images has none, as empty images in training.
        count = 0 if images > 1 and i == images - 1 else i + 1
        corners = torch.rand(count, 2, 2, generator=generator).sort(dim=1)[0]
        boxes.append(corners.flatten(1))
    return Maps(*zip(*maps), boxes)


CASES = {
    'three levels': draw(2, (3, 8, 6), (3, 4, 3), (3, 2, 2), seed=0),
    'odd sizes': draw(3, (4, 7, 5), (4, 3, 3), seed=1),
    'one image': draw(1, (2, 6, 9), (2, 3, 5), seed=2),
    'one level': draw(2, (5, 5, 4), seed=3),
    'levels of a backbone': draw(2, (2, 8, 8), (4, 4, 4), (6, 2, 2), seed=4),
    'last of one place': draw(2, (3, 4, 4), (3, 2, 2), (3, 1, 1), seed=5),
}
USUAL = CASES['three levels']
# The student has other channels than the teacher.
OTHER_CHANNELS = draw(2, (3, 6, 4), (3, 3, 2), student=[2, 4], seed=6)


def waves(*shape):
    """The maps of which values are pinned, in float64."""
    place = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return (0.1 * place).sin().view(shape), (0.07 * place).cos().view(shape)
