"""The classes of a teacher, matched with those of a student."""

import re
from collections.abc import Sequence

from mmengine.config import Config

from ..arguments import few
from ..datasets.class_names import classes_of
from ..exceptions import MMKDValueError


def classes_of_teacher(meta: dict, cfg: Config) -> tuple[str, ...] | None:
    """A teacher's class names, from its checkpoint, otherwise its config."""
    advice = "; give the teacher's by `classes` in `teacher`"
    if isinstance(meta, dict):
        for source in (meta.get('dataset_meta'), meta):
            names = classes_of(source, "the teacher's checkpoint", advice)
            if names:
                return names
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = (cfg.get(loader) or {}).get('dataset')
        # Wrappers contain the data set; of several, take the first.
        while isinstance(dataset, dict):
            metainfo = dataset.get('metainfo')
            names = classes_of(metainfo, "the teacher's config", advice)
            if names:
                return names
            inner = dataset.get('dataset') or dataset.get('datasets')
            dataset = inner[0] if isinstance(inner, list) else inner
    return None


def match_classes(
    student: Sequence[str] | None,
    teacher: Sequence[str] | None,
    num_student: int,
    num_teacher: int,
    background: int = 0,
    *,
    leave_out: bool = False,
    least: int = 1,
) -> list[int] | None:
    """Find the column of the teacher for each logit of the student.

    The order may differ, and the teacher may have more classes; background
    logits stay last.

    Args:
        student: The student's class names.
        teacher: The teacher's class names.
        num_student: Classes of the student's head, without background.
        num_teacher: The same for the teacher.
        background: Number of background logits, after those of the classes.
        leave_out: Whether the teacher may lack classes of the student.
        least: How many it must know then.

    Returns:
        Column of the teacher's logits for each column of the student's, -1
        for a class that it lacks; None if they are the same.

    Raises:
        ValueError: If the teacher lacks a class of the student, or too many,
            two classes have the same name, or names are unknown and the
            numbers differ.
    """
    if student is None or teacher is None:
        if num_student != num_teacher:
            whose = 'student' if student is None else 'teacher'
            raise MMKDValueError(
                f'The student has {num_student} classes and the teacher '
                f'{num_teacher}, and the class names of the {whose} are not '
                'known: give a teacher of the same classes, or give its names '
                'by `classes` in `teacher`.'
            )
        return None
    for role, names, number in (
        ('student', student, num_student),
        ('teacher', teacher, num_teacher),
    ):
        if len(names) != number:
            raise MMKDValueError(
                f'The head of the {role} has {number} classes, but '
                f'{len(names)} class names are known ({few(names)}): make '
                '`num_classes` of the head and the `classes` of the data '
                'set agree.'
            )
    unknown = [name for name in student if name not in teacher]
    spelt = {_bare(name): name for name in teacher}
    misspelt = [name for name in unknown if _bare(name) in spelt]
    if misspelt and (leave_out or len(misspelt) == len(unknown)):
        raise MMKDValueError(
            f'{len(misspelt)} of the {num_student} classes of the student '
            'differ from those of the teacher only in case, spaces or '
            f'hyphens ({misspelt[0]!r} and {spelt[_bare(misspelt[0])]!r}): '
            "give the teacher's names in the spelling of the student, by "
            '`classes` in `teacher`.'
        )
    if unknown and not leave_out:
        raise MMKDValueError(
            f'{len(unknown)} of the {num_student} classes of the student are '
            f'not among the {num_teacher} of the teacher ({few(unknown)}; it '
            f'has {few(teacher)}): give a teacher that has them, give '
            "the teacher's names for them by `classes` in `teacher`, or "
            "distil the others alone by missing_classes='leave_out' there."
        )
    if num_student - len(unknown) < least:
        raise MMKDValueError(
            f'The teacher knows {num_student - len(unknown)} of the '
            f'{num_student} classes of the student, but '
            f"missing_classes='leave_out' needs at least {least} to compare "
            f'(the student has {few(student)}; the teacher {few(teacher)}): '
            'give a teacher that has more of them.'
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
            f'The classes of student and teacher differ in order, and '
            f'cannot be matched by name, because two have the name '
            f'{twice[0]!r}: give them different names, by `metainfo` of the '
            'data set and `classes` in `teacher`.'
        )
    position = {name: index for index, name in enumerate(teacher)}
    return [position.get(name, -1) for name in student] + list(
        range(num_teacher, num_teacher + background)
    )


def _bare(name: str) -> str:
    """A name without case, spaces, hyphens and underscores."""
    return re.sub(r'[\s_-]', '', name).casefold()
