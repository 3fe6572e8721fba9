"""What a tap gives in a step, in one form for all taps."""

from typing import Any

from .known_classes import leave_out


def stages_of(found) -> list[tuple]:
    """The readings of a step.

    Args:
        found: What a tap gives: a reading, a list of stages of a cascade,
            each with its name, factor and reading, or None.

    Returns:
        Name, factor and reading of each stage; a reading alone has the name
        '' and the factor 1.
    """
    if found is None:
        return []
    return found if isinstance(found, list) else [('', 1.0, found)]


def take(tap: Any, teacher: Any) -> list[tuple]:
    """Take the readings of a step, without classes unknown to the teacher.

    Args:
        tap: Attached to a student.
        teacher: As of its ``take``.

    Returns:
        See :func:`stages_of`.
    """
    stages = stages_of(tap.take(teacher))
    if teacher is None or teacher.missing is None or not tap.per_class:
        return stages
    return [
        (name, factor, leave_out(reading, teacher, tap))
        for name, factor, reading in stages
    ]
