"""Matching the classes of a teacher with those of a student, by name."""

import re
from collections.abc import Sequence

from .exceptions import MMKDTypeError, MMKDValueError


def read_names(names, where: str, advice: str = '') -> tuple[str, ...] | None:
    """Check class names that a user or a file tells.

    Args:
        names: None, or a list or tuple of names.
        where (str): What tells them, for the message.
        advice (str): What else to do, for the message.

    Returns:
        tuple[str, ...] | None: The names, numbers as text.

    Raises:
        TypeError: If they are one text, or no list of names.
        ValueError: If there is none.
    """
    if names is None:
        return None
    if isinstance(names, str):
        parts = tuple(re.findall(r'[^,;\s][^,;]*', names)) or ('cat', 'dog')
        raise MMKDTypeError(
            f'Expected {where} to list the class names but got the text '
            f'{names!r}: write {parts!r}{advice}.'
        )
    names = names.tolist() if hasattr(names, 'tolist') else names
    if not isinstance(names, (list, tuple)) or not all(
        isinstance(name, (str, int)) for name in names
    ):
        raise MMKDTypeError(
            f'Expected {where} to list the class names but got '
            f"{names!r}: write a list such as ['cat', 'dog']{advice}."
        )
    if not names:
        raise MMKDValueError(
            f'Expected {where} to list the class names but got none: name '
            f'all classes in their order, or leave them out{advice}.'
        )
    return tuple(map(str, names))


def classes_of(
    metainfo, where: str, advice: str = ''
) -> tuple[str, ...] | None:
    """Class names of what a data set says of itself.

    Args:
        metainfo (dict | list[dict] | None): Of MMDetection's
            ``ConcatDataset`` a list, where its parts differ in anything.
        where (str): What has it, for the message.
        advice (str): What else to do, for the message.

    Returns:
        tuple[str, ...] | None: None if it names no classes.

    Raises:
        TypeError, ValueError: If the names are not a list, or those of the
            parts differ.
    """
    if isinstance(metainfo, (list, tuple)):
        found = [classes_of(part, where, advice) for part in metainfo]
        for names in found[1:]:
            if names != found[0]:
                first, other = (_few(x or ['none']) for x in (found[0], names))
                raise MMKDValueError(
                    f'The parts of {where} have other classes ({first} and '
                    f'{other}): give all the same `classes` in `metainfo`.'
                )
        return found[0] if found else None
    if not isinstance(metainfo, dict):
        return None
    key = 'classes' if metainfo.get('classes') is not None else 'CLASSES'
    return read_names(metainfo.get(key), f'`{key}` of {where}', advice)


def names_of(dataset, which: str = 'train') -> tuple[str, ...] | None:
    """Class names of a data set, if it tells them.

    Args:
        dataset (Dataset): Of MMEngine, or another.
        which (str): What to call its data in the message.

    Raises:
        TypeError, ValueError: As of :func:`classes_of`, or if they stand
            where they are not read.
    """
    metainfo = getattr(dataset, 'metainfo', None)
    if isinstance(metainfo, dict) and 'CLASSES' in metainfo:
        raise MMKDValueError(
            f'The `metainfo` of the {which} data has `CLASSES`, which the '
            'data sets of this MMEngine do not read: call it `classes`.'
        )
    return classes_of(metainfo, f'the `metainfo` of the {which} data')


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
    spelt = {_bare(name): name for name in teacher}
    if unknown and all(_bare(name) in spelt for name in unknown):
        raise MMKDValueError(
            f'{len(unknown)} of the {num_student} classes of the student '
            'differ from those of the teacher in capitals, blanks or hyphens '
            f'alone ({unknown[0]!r} and {spelt[_bare(unknown[0])]!r}): tell '
            "the teacher's names in the spelling of the student, by "
            '`classes` in `teacher`.'
        )
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


def _bare(name: str) -> str:
    """A name without what people spell differently."""
    return re.sub(r'[\s_-]', '', name).casefold()


def _few(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
