"""Class names from arguments, checkpoints and data sets."""

import re

from ..arguments import few
from ..exceptions import MMKDTypeError, MMKDValueError


def read_names(names, where: str, advice: str = '') -> tuple[str, ...] | None:
    """Read class names that a user or a file gives.

    Args:
        names: None, or a list or tuple of names.
        where: Their source, for the message.
        advice: What else to do, for the message.

    Returns:
        The names, numbers as strings.

    Raises:
        TypeError: If they are one string, or no list of names.
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
    """Class names in the ``metainfo`` of a data set.

    Args:
        metainfo (dict | list[dict] | None): A list for MMDetection's
            ``ConcatDataset``, if its parts differ.
        where: Its source, for the message.
        advice: What else to do, for the message.

    Returns:
        None if it has no classes.

    Raises:
        TypeError, ValueError: If the names are not a list, or those of the
            parts differ.
    """
    if isinstance(metainfo, (list, tuple)):
        found = [classes_of(part, where, advice) for part in metainfo]
        for names in found[1:]:
            if names != found[0]:
                first, other = (few(x or ['none']) for x in (found[0], names))
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
    """Class names of a data set, if it has them.

    Args:
        dataset (Dataset): Any data set.
        which: What to call its data in the message.

    Raises:
        TypeError, ValueError: See :func:`classes_of`, or if they are where
            they are not read.
    """
    metainfo = getattr(dataset, 'metainfo', None)
    if isinstance(metainfo, dict) and 'CLASSES' in metainfo:
        raise MMKDValueError(
            f'The `metainfo` of the {which} data has `CLASSES`, which the '
            'data sets of this MMEngine do not read: call it `classes`.'
        )
    return classes_of(metainfo, f'the `metainfo` of the {which} data')
