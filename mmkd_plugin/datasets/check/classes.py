"""Class names: those of `metainfo`, and those of an annotation file."""

from collections.abc import Iterable, Sequence

from ...arguments import few
from ...exceptions import MMKDValueError


def read_classes(split: str, metainfo: dict) -> Sequence | None:
    """The classes of `metainfo`, if the library can read them.

    Args:
        split: What to call the data in the message.
        metainfo: `metainfo` of a data set or of its config.

    Returns:
        The names; None if there are none.

    Raises:
        ValueError: If they are not a sequence of names.
    """
    for key in metainfo:
        if (
            isinstance(key, str)
            and key != 'classes'
            and (key.lower() in ('classes', 'class'))
        ):
            raise MMKDValueError(
                f'`metainfo` of the {split} data has {key!r}, which is not '
                'read, so that the names of the classes are not set: write '
                '`classes` in lower case.'
            )
    classes = metainfo.get('classes')
    if classes is None:
        return None
    if isinstance(classes, str):
        raise MMKDValueError(
            f'`classes` in `metainfo` of the {split} data is the text '
            f'{classes!r}, and no file of that name: expected a tuple of '
            f'names; write ({classes!r},) with a comma.'
        )
    if not isinstance(classes, (list, tuple)) or not classes:
        raise MMKDValueError(
            f'Expected `classes` in `metainfo` of the {split} data to be a '
            f'tuple of names but got {classes!r}: write the names in the '
            'order of the annotation file.'
        )
    return classes


def refuse_twice(split: str, classes: Sequence) -> None:
    """Refuse two classes with the same name.

    Raises:
        ValueError: If there is one.
    """
    twice = [name for i, name in enumerate(classes) if name in classes[:i]]
    if twice:
        raise MMKDValueError(
            f'`classes` in `metainfo` of the {split} data names {twice[0]!r} '
            'twice: name each class once.'
        )


def check_categories(
    where: str, classes: Sequence, ids: Sequence, names: Sequence
) -> None:
    """Compare the classes with the categories of a COCO file.

    Args:
        where: What to call the file in the message.
        classes: Classes of `metainfo`.
        ids: Ids of the categories.
        names: Names of the categories.

    Raises:
        ValueError: If the library would number them differently.
    """
    unknown = [name for name in classes if name not in names]
    if unknown:
        raise MMKDValueError(
            f'{len(unknown)} of the {len(classes)} classes of `metainfo` '
            f'({few(unknown)}) are no category of the annotation file '
            f'{where}, which has {few(names)}: give `metainfo` the names '
            f'that the file has{_nearly(unknown, names)}.'
        )
    found = [name for name in names if name in classes]
    twice = [name for i, name in enumerate(found) if name in found[:i]]
    if twice:
        both = [i for i, name in zip(ids, names) if name == twice[0]]
        raise MMKDValueError(
            f'The annotation file {where} has {len(both)} categories of one '
            f'name, {twice[0]!r} (ids {few(both)}), and the library would '
            'make a class of each: take out the one that no annotation has '
            "(Roboflow's first category names the project), or give it "
            'another name.'
        )
    if found != list(classes):
        raise MMKDValueError(
            f'The annotation file {where} has its categories in the order '
            f'{few(found)}, by which MMDetection numbers them, but '
            f'`metainfo` has the classes {few(classes)}: give `metainfo` in '
            'the order of the file.'
        )


def _nearly(unknown: Iterable, names: Iterable) -> str:
    """A hint at a name that differs only in case, spaces or type."""

    def plain(name):
        return str(name).strip().lower()

    near = {plain(name): name for name in names}
    for name in unknown:
        if plain(name) in near:
            return (
                f', {near[plain(name)]!r} instead of {name!r} (capitals and '
                'spaces count)'
            )
    return ''


def nearly(name: str, names: Iterable) -> str:
    """A hint at a name that differs only in case or spaces, or nothing."""
    return _nearly([name], names)
