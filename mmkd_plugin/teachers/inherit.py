"""A student that starts with modules of its teacher."""

from collections.abc import Sequence

import torch.nn as nn

from ..arguments import few, shown
from ..exceptions import MMKDTypeError, MMKDValueError
from .teacher import Teacher

# Modules whose weights do not depend on the classes.
NO_CLASSES = ('backbone', 'neck', 'rpn_head')


def check_inherit(paths: object, teachers: int) -> None:
    """Check the names of modules, before anything is built.

    Raises:
        TypeError: If ``paths`` is no list of names.
        ValueError: If there are several teachers to inherit from.
    """
    if not isinstance(paths, (list, tuple)) or not all(
        isinstance(path, str) and path for path in paths
    ):
        raise MMKDTypeError(
            'Expected argument `inherit` to be a list of names of modules, '
            f'such as neck, rpn_head and roi_head, but got {shown(paths)}.'
        )
    if paths and teachers > 1:
        raise MMKDValueError(
            f'Got `inherit` with {teachers} teachers: give a hook with one '
            'teacher the `inherit`.'
        )


def inherit(
    student: nn.Module, teacher: nn.Module, paths: Sequence[str]
) -> str:
    """Copy modules of a teacher into a student.

    Args:
        student: Not wrapped; changed in place.
        teacher: As its checkpoint has it, before folding.
        paths: Names of the modules in both models.

    Returns:
        What was copied, for the log.

    Raises:
        ValueError: If a model lacks a module, or the two modules differ in
            names or shapes; nothing has been copied then.

    References:
        Yang et al. Focal and Global Knowledge Distillation for Detectors.
        CVPR 2022, arXiv 2111.11837, the inheriting strategy, after Kang et
        al. Instance-Conditional Knowledge Distillation, NeurIPS 2021.
    """
    pairs = []
    for path in paths:
        part = _part('student', student, path)
        source = _part('teacher', teacher, path)
        own, other = (
            {name: tuple(x.shape) for name, x in each.state_dict().items()}
            for each in (part, source)
        )
        if own != other:
            names = sorted(
                name
                for name in own.keys() | other.keys()
                if own.get(name) != other.get(name)
            )
            raise MMKDValueError(
                f'The student cannot inherit {path!r}: {len(names)} of its '
                f'weights differ from those of the teacher ({few(names)}): '
                'name modules that are equal in both models.'
            )
        pairs.append((part, source.state_dict()))
    copied = []
    for path, (part, state) in zip(paths, pairs):
        part.load_state_dict(state)
        copied.append(f'{path} ({len(state)} tensors)')
    return ', '.join(copied)


def parts_with_classes(paths: Sequence[str]) -> list[str]:
    """Those of the modules whose weights may belong to classes.

    Args:
        paths: As of :func:`inherit`.
    """
    return [path for path in paths if path.split('.')[0] not in NO_CLASSES]


def refuse_other_classes(paths: Sequence[str], teacher: Teacher) -> None:
    """Refuse to inherit heads of other classes, or in another order.

    Args:
        paths: As of :func:`parts_with_classes`.
        teacher: Its classes have been matched with those of the student.

    Raises:
        ValueError: If there is one.
    """
    if teacher.columns is not None and paths:
        reason = 'has its classes in another order'
        if teacher.missing_names:
            reason = f'does not know {few(teacher.missing_names)}'
        raise MMKDValueError(
            f'The student cannot inherit {paths[0]!r}, because the teacher '
            f'{reason}: name only modules without '
            f'classes ({", ".join(NO_CLASSES)}).'
        )


def _part(role: str, model: nn.Module, path: str) -> nn.Module:
    parts = dict(model.named_modules())
    if path not in parts:
        raise MMKDValueError(
            f'The {role} {type(model).__name__} has no module {path!r}, '
            'which `inherit` names: give names of modules that both models '
            'have, such as neck.'
        )
    return parts[path]
