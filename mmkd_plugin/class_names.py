"""Matching the classes of a teacher with those of a student, by name."""

from collections.abc import Sequence

from .exceptions import MMKDValueError


def match_classes(
    student: Sequence[str] | None,
    teacher: Sequence[str] | None,
    num_student: int,
    num_teacher: int,
    background: int = 0,
) -> list[int] | None:
    """Find the teacher's logit of each of the student's logits.

    The order may differ and the teacher may know more classes; logits for
    the background stay last.

    Args:
        student (Sequence[str], optional): The student's class names.
        teacher (Sequence[str], optional): The teacher's class names.
        num_student (int): Classes of the student's head, without background.
        num_teacher (int): The same for the teacher.
        background (int): Number of logits after those of the classes.

    Returns:
        list[int] | None: Column of the teacher's logits for each column of
        the student's; None if the two are alike as they are.

    Raises:
        ValueError: If a class of the student is none of the teacher's, if
            two have one name, or if names are not known and the numbers
            differ.
    """
    if student is None or teacher is None:
        if num_student != num_teacher:
            whose = 'student' if student is None else 'teacher'
            raise MMKDValueError(
                f'The student tells {num_student} classes apart and the '
                f'teacher {num_teacher}, and the class names of the {whose} '
                'are not known: give a teacher of the same classes, or tell '
                'its names by `classes` in `teacher`.'
            )
        return None
    for role, names, number in (
        ('student', student, num_student),
        ('teacher', teacher, num_teacher),
    ):
        if len(names) != number:
            raise MMKDValueError(
                f'The head of the {role} tells {number} classes apart, but '
                f'{len(names)} class names are known ({_few(names)}): make '
                '`num_classes` of the head and the `classes` of the data '
                'set agree.'
            )
    unknown = [name for name in student if name not in teacher]
    if unknown:
        raise MMKDValueError(
            f'{len(unknown)} of the {num_student} classes of the student are '
            f'none of the {num_teacher} of the teacher ({_few(unknown)} are '
            f'not among {_few(teacher)}): give a teacher that knows them, or '
            "tell the teacher's names for them by `classes` in `teacher`."
        )
    if list(student) == list(teacher):
        return None
    twice = [
        name
        for names in (student, teacher)
        for index, name in enumerate(names)
        if name in names[:index]
    ]
    if twice:
        raise MMKDValueError(
            f'The classes of student and teacher are in another order, and '
            f'cannot be matched by name, because {twice[0]!r} is the name of '
            'two: give them names of their own, by `metainfo` of the data '
            'set and `classes` in `teacher`.'
        )
    position = {name: index for index, name in enumerate(teacher)}
    return [position[name] for name in student] + list(
        range(num_teacher, num_teacher + background)
    )


def _few(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
