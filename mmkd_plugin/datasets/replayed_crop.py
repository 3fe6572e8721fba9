"""Random crops of which each image has a fixed number."""

import math
from collections.abc import Sequence

import numpy as np
from mmengine.registry import TRANSFORMS

from ..arguments import check_choice, check_integer, check_number, shown
from ..exceptions import MMKDTypeError

# Tries to find a box within the image, as in MMPretrain and torchvision.
TRIES = 10


@TRANSFORMS.register_module()
class ReplayedResizedCrop:
    """Cut one of K random boxes out of an image, and resize and flip it.

    In place of MMPretrain's ``RandomResizedCrop`` and ``RandomFlip``, with
    boxes of the same distribution.  Which of the K is drawn in every step;
    the box and the flip of each are a function of the seed, the number of the
    image and the number of the box, so a teacher's logits of it can be
    cached.

    Needs ``img`` and ``sample_idx``, which MMEngine's data sets give; changes
    ``img``, ``img_shape``, ``flip`` and ``flip_direction``; adds ``variant``,
    the number of the box, unless it is given, and ``crop``, the box.

    Args:
        scale: Height and width of the result, or both in one number.
        views: K, boxes per image.
        seed: Another one gives other boxes.
        flip_prob: Probability of a horizontal flip, in [0, 1].
        interpolation: See ``mmcv.imresize``.
        backend: 'cv2' or 'pillow'.

    Raises:
        TypeError, ValueError: If an argument is invalid.
    """

    def __init__(
        self,
        scale: int | Sequence[int],
        *,
        views: int,
        seed: int = 0,
        flip_prob: float = 0.5,
        interpolation: str = 'bilinear',
        backend: str = 'cv2',
    ) -> None:
        sides = scale if isinstance(scale, (list, tuple)) else (scale, scale)
        if len(sides) != 2:
            raise MMKDTypeError(
                'Expected argument `scale` to be a height and a width, or one '
                f'number, but got {shown(scale)}.'
            )
        for side in sides:
            check_integer('scale', side, 1)
        check_integer('views', views, 1, 10_000)
        check_integer('seed', seed, 0, 2**32 - 1)
        check_number('flip_prob', flip_prob, 0, 1)
        check_choice(
            'interpolation',
            interpolation,
            *('nearest', 'bilinear', 'bicubic', 'area', 'lanczos'),
        )
        check_choice('backend', backend, 'cv2', 'pillow')
        self.scale = tuple(sides)
        self.views = views
        self.seed = seed
        self.flip_prob = flip_prob
        self.interpolation = interpolation
        self.backend = backend

    def __call__(self, results: dict) -> dict:
        """Transform the image of one sample."""
        # Not at the top: importing the plugin must not need mmcv.
        import mmcv

        view = results.get('variant')
        if view is None:
            view = int(np.random.randint(self.views))
        image = results['img']
        # Its numbers are the same in all versions of NumPy.
        random = np.random.RandomState(
            [self.seed, results['sample_idx'], view]
        )
        sides = image.shape[:2]
        top, left, height, width = draw_box(sides[0], sides[1], random)
        flip = bool(random.uniform() < self.flip_prob)
        image = mmcv.imresize(
            image[top : top + height, left : left + width],
            self.scale[::-1],
            interpolation=self.interpolation,
            backend=self.backend,
        )
        results.update(
            img=mmcv.imflip(image) if flip else image,
            img_shape=image.shape,
            flip=flip,
            flip_direction='horizontal' if flip else None,
            variant=view,
            crop=(top, left, height, width),
        )
        return results

    def __repr__(self) -> str:
        settings = ', '.join(f'{k}={v!r}' for k, v in vars(self).items())
        return f'{type(self).__name__}({settings})'


def draw_box(
    height: int, width: int, random: np.random.RandomState
) -> tuple[int, int, int, int]:
    """Draw a box of 8 % to 100 % of an image, of aspect ratio 3/4 to 4/3.

    Args:
        height, width: Of the image.
        random: Where numbers come from.

    Returns:
        Top, left, height and width.  If no box of :data:`TRIES` lies within
        the image, the largest central one of such an aspect ratio.
    """
    for _ in range(TRIES):
        area = random.uniform(0.08, 1) * height * width
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < h <= height and 0 < w <= width:
            top = random.randint(height - h + 1)
            return top, random.randint(width - w + 1), h, w
    h = min(height, round(width * 4 / 3))
    w = min(width, round(height * 4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w
