"""Maps of student and teacher of one size."""

from torch import Tensor
from torch.nn import functional as F

from ...arguments import check_choice, check_switch
from ...exceptions import MMKDRuntimeError


def check_resize(value: object) -> None:
    """Raise unless a value is one of those that :func:`fit` takes.

    Raises:
        TypeError, ValueError: If not.
    """
    if isinstance(value, str):
        check_choice('resize', value, 'pool', 'keep')
    else:
        check_switch(resize=value)


def fit(
    student: Tensor, teacher: Tensor, resize: bool | str, name: str
) -> tuple[Tensor, Tensor]:
    """Bring the maps of a level to one height and width.

    Args:
        student: (B, C, h, w).
        teacher: (B, D, H, W).
        resize: True: the student's is resized bilinearly.  'pool': adaptive
            average pooling to the smaller of the two heights and widths.
            'keep': both stay as they are.
        name: Of the level, for the message.

    Raises:
        RuntimeError: If the sizes differ and ``resize`` is False.
    """
    own, wanted = student.shape[-2:], teacher.shape[-2:]
    if own == wanted or resize == 'keep':
        return student, teacher
    if resize == 'pool':
        size = [min(sides) for sides in zip(own, wanted)]
        return (
            F.adaptive_avg_pool2d(student, size),
            F.adaptive_avg_pool2d(teacher, size),
        )
    if resize:
        student = F.interpolate(
            student, size=wanted, mode='bilinear', align_corners=False
        )
        return student, teacher
    raise MMKDRuntimeError(
        f'The maps of {name} differ in size: student {tuple(own)}, teacher '
        f'{tuple(wanted)}; set `resize=True` in the FeatureTap.'
    )
