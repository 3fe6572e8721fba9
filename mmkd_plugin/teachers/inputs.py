"""From the student's normalised images to the teacher's."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..arguments import check_integer, check_number, shown
from ..exceptions import MMKDTypeError

# Factors of the size of the images that make sense.
FACTORS = 1 / 64, 64

InputSize = float | Sequence[int] | None


class Preprocessing(NamedTuple):
    """How a data preprocessor turns pixels into a model's input.

    Attributes:
        mean: Mean, (3, 1, 1) or (1, 1, 1), float64, in the channel order of
            the model.
        std: Standard deviation, same shape.
        reverse: Whether red and blue of the data are swapped.
        divisor: Height and width are padded to a multiple of it.
        pad_value: Value of the padding.
    """

    mean: Tensor
    std: Tensor
    reverse: bool
    divisor: int
    pad_value: float


def read_preprocessing(preprocessor: nn.Module) -> Preprocessing:
    """Read the settings of a data preprocessor.

    Args:
        preprocessor: An ``ImgDataPreprocessor`` or a class with
            the same attributes.

    Returns:
        Mean 0 and standard deviation 1 if it leaves the pixels
        as they are.
    """
    mean, std = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    if getattr(preprocessor, '_enable_normalize', False):
        mean, std = (
            x.detach().cpu() for x in (preprocessor.mean, preprocessor.std)
        )
    # The attribute of MMDetection, or of MMPretrain.
    reverse = getattr(preprocessor, '_channel_conversion', False) or getattr(
        preprocessor, 'to_rgb', False
    )
    return Preprocessing(
        mean.double(),
        std.double(),
        bool(reverse),
        getattr(preprocessor, 'pad_size_divisor', 1),
        getattr(preprocessor, 'pad_value', 0),
    )


def check_input_size(value: object) -> None:
    """Raise unless it is None, a factor, or a height and a width.

    Raises:
        TypeError: If it is none of these.
        ValueError: If a number is out of range.
    """
    if value is None:
        return
    if isinstance(value, (list, tuple)) and len(value) == 2:
        for side in value:
            check_integer('teacher.input_size', side, 1)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        check_number('teacher.input_size', value, *FACTORS)
    else:
        raise MMKDTypeError(
            'Expected argument `teacher.input_size` to be a height and a '
            "width, such as (224, 224), or a factor of the student's, such "
            f'as 14 / 16, but got {shown(value)}.'
        )


def resize_images(images: Tensor, size: InputSize) -> Tensor:
    """Resize images bilinearly, without aliasing.

    Args:
        images: (B, 3, H, W).
        size: Height and width, or a factor of those of the images, of which
            the results are rounded; None: leave them as they are.

    Returns:
        (B, 3, H', W').
    """
    if size is None:
        return images
    if not isinstance(size, Sequence):
        size = [max(round(side * size), 1) for side in images.shape[-2:]]
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(
        images,
        size=tuple(size),
        mode='bilinear',
        align_corners=False,
        antialias=True,
    )


class TeacherInput:
    """Convert the student's input to the teacher's.

    Both data preprocessors read the same pixels, so the teacher's image is
    an affine function of the student's, channel by channel, with the
    channels reversed where one of the two works in RGB and the other in BGR.
    The padding has the teacher's value, not the converted student's value.

    Args:
        student: Data preprocessor of the student, an
            ``ImgDataPreprocessor`` or a class with the same attributes.
        teacher: Data preprocessor of the teacher.
        size: To resize the whole batch to, with its padding; see
            :func:`resize_images`.  None: not resized.
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module, size: InputSize = None
    ) -> None:
        mean_s, std_s, reverse_s, *padding_s = read_preprocessing(student)
        mean_t, std_t, reverse_t, *padding_t = read_preprocessing(teacher)
        self.reverse = reverse_s != reverse_t
        if self.reverse:
            mean_s, std_s = mean_s.flip(0), std_s.flip(0)
        self.scale = std_s / std_t
        self.shift = (mean_s - mean_t) / std_t
        self.divisor, self.pad_value = padding_t
        self.size = size
        self.identity = (
            size is None
            and not self.reverse
            and torch.equal(mean_s, mean_t)
            and torch.equal(std_s, std_t)
            and padding_s == padding_t
        )

    def __call__(self, inputs: Tensor, data_samples=None) -> Tensor:
        """Convert one batch.

        Args:
            inputs: The student's images, (B, 3, H, W).
            data_samples (list, optional): One per image; ``img_shape`` is
                the size without padding.  Without it, or if it is MMYOLO's
                dict of boxes, all of ``inputs`` counts as image.

        Returns:
            The teacher's images, (B, 3, H', W'), where H' and W' are the
            largest height and width, rounded up to the teacher's divisor; if
            they are resized, all of ``inputs``, so that places of both
            models' maps agree.
        """
        if self.identity:
            return inputs
        shapes = [tuple(inputs.shape[-2:])] * len(inputs)
        if isinstance(data_samples, (list, tuple)):
            shapes = [
                tuple(sample.get('img_shape', inputs.shape[-2:])[:2])
                for sample in data_samples
            ]
        images = inputs.flip(1) if self.reverse else inputs
        # Kept on the device: a copy in every step would synchronize the GPU.
        self.scale, self.shift = self.scale.to(inputs), self.shift.to(inputs)
        images = images * self.scale + self.shift
        height, width = images.shape[-2:]
        if self.size is None:
            height, width = (
                math.ceil(max(sizes) / self.divisor) * self.divisor
                for sizes in zip(*shapes)
            )
        if set(shapes) != {(height, width)} or (
            (height, width) != tuple(images.shape[-2:])
        ):
            images = self._pad(images, shapes, height, width)
        return resize_images(images, self.size)

    def _pad(
        self, images: Tensor, shapes: list, height: int, width: int
    ) -> Tensor:
        """Give the images, without what pads them, the teacher's padding."""
        return torch.stack(
            [
                F.pad(
                    image[:, :h, :w],
                    (0, width - w, 0, height - h),
                    value=self.pad_value,
                )
                for image, (h, w) in zip(images, shapes)
            ]
        )
