"""Checks and preparation of vectors, one per image.

Shapes: N images, D_s and D_t numbers of student and teacher.
"""

import torch
from torch import Tensor

from ...exceptions import MMKDValueError
from .reduction import check_weights


def prepare_vectors(
    student: Tensor, teacher: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Check both, upcast them, detach the teacher, and blank what is left out.

    Args:
        student: (N, D_s), any floating type.
        teacher: (N, D_t), any floating type.
        weights: Non-negative, (N,); an image of weight 0 is left out.

    Returns:
        Both in one dtype, float64 if either was, float32 otherwise, with zeros
        for the images that are left out, and which ones count, bool of shape
        (N,); None: all.

    Raises:
        ValueError: If they are no vectors of equally many images, or there is
            not a weight per image.
    """
    if (
        not isinstance(student, Tensor)
        or not isinstance(teacher, Tensor)
        or student.ndim != 2
        or teacher.ndim != 2
        or len(student) != len(teacher)
    ):
        shapes = [_shape(student), _shape(teacher)]
        raise MMKDValueError(
            'Expected arguments `student` and `teacher` to be vectors of the '
            f'same images, (N, D), but got {" and ".join(shapes)}: let the '
            "loss read from a tap of vectors, tap=dict(type='PooledTap')."
        )
    dtype = torch.promote_types(student.dtype, teacher.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    student, teacher = student.to(dtype), teacher.detach().to(dtype)
    if weights is None:
        return student, teacher, None
    check_weights(weights, student)
    counted = weights > 0
    # Whatever an image of weight 0 is, also NaN.
    left_out = ~counted[:, None]
    return (
        student.masked_fill(left_out, 0),
        teacher.masked_fill(left_out, 0),
        counted,
    )


def related_images(
    student: Tensor, weights: Tensor | None, *, least: int
) -> Tensor:
    """Which images count, where fewer than ``least`` have no relation.

    Args:
        student: (N, D_s).
        weights: Non-negative, (N,). None: every weight is 1.
        least: How many images it takes.

    Returns:
        Bool of shape (N,).
    """
    if weights is None:
        weights = student.new_ones(len(student))
    counted = weights > 0
    return counted & (counted.sum() >= least)


def _shape(value: object) -> str:
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    return f'a {type(value).__name__}'
