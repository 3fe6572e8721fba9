"""Boxes of a COCO file: those left out, and those in a wrong format.

Legend: N annotations.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ...arguments import few
from ...exceptions import MMKDValueError
from .coco_file import CocoFile
from .messages import warn

# Pixels by which a box may exceed its image, because tools round.
SLACK = 1
# Least fraction and number of boxes that exceed their image before all are
# tried as corners.
CORNERS_SHARE, CORNERS = 0.1, 3


def left_out(file: CocoFile, classes: Sequence) -> dict[str, np.ndarray]:
    """The annotations that MMDetection leaves out of the training, by rule.

    Args:
        file: The file, with N annotations.
        classes: The classes to train.

    Returns:
        Description of each rule to a mask of the annotations, (N,), that it
        leaves out; each annotation is in at most one of them.
    """
    x, y, width, height = file.boxes.T
    limits = _limits(file)
    inside = (np.minimum(x + width, limits[:, 0]) > np.maximum(x, 0)) & (
        np.minimum(y + height, limits[:, 1]) > np.maximum(y, 0)
    )
    trained = np.array([name in classes for name in file.classes] + [False])
    no_image, no_category = file.image < 0, file.category < 0
    rules = {
        'have an `image_id` that no image has'
        + _values(file, 'image_id', no_image): no_image,
        'have `ignore` set': file.ignore,
        'have a `category_id` that `categories` does not have'
        + _values(file, 'category_id', no_category): no_category,
        'are of categories that `classes` does not name'
        + _untrained(file, trained): ~trained[file.category],
        'are boxes of less than 1 x 1 pixel': (width < 1) | (height < 1),
        'are boxes outside of their image': ~inside,
        'have an `area` that is not above 0': file.area <= 0,
        'are crowds (`iscrowd`)': file.crowd,
    }
    left = np.zeros(len(file), dtype=bool)
    for words, which in rules.items():
        rules[words] = which & ~left
        left |= which
    return {words: which for words, which in rules.items() if which.any()}


def filtered(
    file: CocoFile, classes: Sequence, filter_cfg: dict | None
) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the images that `filter_cfg` leaves out, each (M,).

    The first are too small, the second have no box of the classes.
    """
    filter_cfg = filter_cfg or {}
    small = file.sizes.min(1) < filter_cfg.get('min_size', 0)
    trained = np.array([name in classes for name in file.classes] + [False])
    with_box = np.zeros(len(file.names), dtype=bool)
    with_box[file.image[trained[file.category] & (file.image >= 0)]] = True
    empty = ~with_box & ~small & bool(filter_cfg.get('filter_empty_gt'))
    return small, empty


def check_training(
    file: CocoFile, classes: Sequence, filter_cfg: dict | None
) -> None:
    """Warn of annotations and images that the training leaves out.

    Args:
        file: The annotations.
        classes: The classes to train.
        filter_cfg: `filter_cfg` of the data set.

    Raises:
        ValueError: If nothing is left, or boxes are in another format.
    """
    check_convention(file)
    reasons = left_out(file, classes)
    used = np.ones(len(file), dtype=bool)
    for which in reasons.values():
        used &= ~which
    if not used.any():
        told = [
            f'{int(which.sum())} of its {len(file)} annotations {words}'
            for words, which in reasons.items()
        ]
        raise MMKDValueError(
            f'None of the {len(file.names)} images in {file.where} has a box '
            f'of the classes {few(classes)} to train on: '
            f'{"; ".join(told) or "it has no annotations"}. Correct them.'
        )
    for words, which in reasons.items():
        warn(f'{file.count(which)} {words}: they are left out.')
    warn_twice(file, used)
    _check_filter(file, classes, filter_cfg or {}, used)


def check_convention(file: CocoFile) -> None:
    """Refuse boxes that are no [x, y, width, height] in pixels.

    Raises:
        ValueError: If they look like corners or normalised coordinates, or
            most of them exceed their image.
    """
    boxes, limits = file.boxes, _limits(file)
    known = file.image >= 0
    boxes, limits = boxes[known], limits[known]
    if not len(boxes):
        return
    if boxes.max() <= 1 and boxes.max() > 0 and (limits > 1).all():
        raise MMKDValueError(
            f'No number in a `bbox` of {file.where} is above 1: expected '
            'pixels, but these look like shares of the width and height of '
            'the image; multiply by them.'
        )
    out = (boxes[:, :2] < -SLACK).any(1) | (
        boxes[:, :2] + boxes[:, 2:] > limits + SLACK
    ).any(1)
    if not out.any():
        return
    which = np.zeros(len(file), dtype=bool)
    which[np.flatnonzero(known)[out]] = True
    told = f'{file.count(which)} have a `bbox` that reaches out of its image'
    corners = (
        (boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= limits + SLACK)
    ).all()
    if corners and out.sum() >= max(CORNERS, CORNERS_SHARE * len(boxes)):
        raise MMKDValueError(
            f'{told}, and all lie inside if read as corners: expected [x, y, '
            'width, height] but these look like [x1, y1, x2, y2]; convert '
            'them.'
        )
    if out.mean() > 0.5:
        raise MMKDValueError(
            f'{told}: expected [x, y, width, height] in pixels of the image '
            'as it is stored; correct the boxes, or the `width` and `height` '
            'of the images.'
        )
    warn(
        f'{told}: check that they are [x, y, width, height] in pixels of this '
        'image.'
    )


def warn_twice(file: CocoFile, used: np.ndarray) -> None:
    """Warn of images and annotations that occur more than once."""
    columns = np.column_stack([file.image, file.category, file.boxes])
    _, first = np.unique(columns, axis=0, return_index=True)
    again = used.copy()
    again[first] = False
    names = Counter(file.names)
    twice = [name for name in names if names[name] > 1]
    if twice:
        warn(
            f'{len(twice)} `file_name` of the {len(file.names)} images in '
            f'{file.where} (first: {twice[0]}) are of several images: each '
            'counts as an image of its own, with its own boxes; if that is '
            'not meant, put their boxes under one `id`.'
        )
    if again.any():
        warn(
            f'{file.count(again)} have the image, category and `bbox` of '
            'another one: each counts as an object of its own; take one out.'
        )


def _check_filter(
    file: CocoFile, classes: Sequence, filter_cfg: dict, used: np.ndarray
) -> None:
    """Warn of images that `filter_cfg` leaves out; refuse if none is left."""
    small, empty = filtered(file, classes, filter_cfg)
    least = filter_cfg.get('min_size', 0)
    for which, words in (
        (small, f'are less than {least} pixels wide or high (`min_size`)'),
        (empty, 'have no box of the classes (`filter_empty_gt`)'),
    ):
        if which.any():
            told = (
                f'{int(which.sum())} of the {len(which)} images in '
                f'{file.where} (first: {file.names[int(which.argmax())]}) '
                f'{words}, and `filter_cfg` leaves them out'
            )
            if (small | empty).all():
                raise MMKDValueError(f'{told}: none is left; correct it.')
            warn(f'{told}.')
    kept = np.zeros(len(file.names), dtype=bool)
    kept[file.image[used]] = True
    if not (kept & ~small & ~empty).any():
        raise MMKDValueError(
            f'No image that `filter_cfg` keeps in {file.where} has a box to '
            'train on: correct `filter_cfg` or the annotations.'
        )


def _limits(file: CocoFile) -> np.ndarray:
    """Width and height of each annotation's image, (N, 2)."""
    return np.concatenate([file.sizes, [[0, 0]]])[file.image]


def _values(file: CocoFile, key: str, which: np.ndarray) -> str:
    """The values that refer to nothing, for a message."""
    values = [file.references[key][i] for i in np.flatnonzero(which)[:1000]]
    if not values:
        return ''
    known = file.image_ids if key == 'image_id' else file.category_ids
    texts = isinstance(values[0], str)
    other = bool(known) and isinstance(known[0], str) is not texts
    kind = f', {"text" if texts else "numbers"}, unlike `id`' * other
    return f' ({few(map(repr, dict.fromkeys(values)))}{kind})'


def _untrained(file: CocoFile, trained: np.ndarray) -> str:
    """The categories that `classes` leaves out, for a message."""
    used = set(file.category[file.category >= 0])
    untrained = [
        name
        for i, name in enumerate(file.classes)
        if i in used and not trained[i]
    ]
    return f' ({few(untrained)})' if untrained else ''
