"""Checks and preparation of vectors, one per image.

Shapes: N images, D_s and D_t numbers of student and teacher.
"""

import torch
from torch import Tensor

from ...exceptions import MMKDValueError


def prepare_vectors(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Check both, upcast them, and detach the teacher.

    Args:
        student: (N, D_s), any floating type.
        teacher: (N, D_t), any floating type.

    Returns:
        Both in one dtype: float64 if either was, float32 otherwise.

    Raises:
        ValueError: If they are no vectors of equally many images.
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
    return student.to(dtype), teacher.detach().to(dtype)


def _shape(value: object) -> str:
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    return f'a {type(value).__name__}'
