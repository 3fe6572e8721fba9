"""Checks of `segmentation`, where masks are loaded."""

import numpy as np

from ...exceptions import MMKDValueError
from .messages import warn

GOOD, EMPTY, SHORT, WRONG, SIZE = range(5)
WHAT = {
    EMPTY: 'no `segmentation`, or an empty one',
    WRONG: 'a `segmentation` that is neither polygons nor RLE',
    SIZE: 'a `segmentation` whose RLE is of another size than the image',
}


def mask_faults(annotations: list, images: list, image) -> np.ndarray:
    """The fault in the `segmentation` of each annotation, (N,)."""
    found = [
        _fault(entry, images[index] if index >= 0 else {})
        for entry, index in zip(annotations, image)
    ]
    return np.array(found, dtype=np.int8)


def _fault(annotation: dict, image: dict) -> int:
    mask = annotation.get('segmentation')
    if not mask:
        return EMPTY
    if isinstance(mask, list):
        if not all(isinstance(part, list) for part in mask):
            return WRONG
        kinds = {type(value) for part in mask for value in part}
        if not kinds <= {int, float}:
            return WRONG
        if all(len(part) % 2 == 0 and len(part) >= 6 for part in mask):
            return GOOD
        return SHORT if any(mask) else EMPTY
    if not isinstance(mask, dict) or not isinstance(
        mask.get('counts'), (list, str)
    ):
        return WRONG
    size = [image.get('height'), image.get('width')]
    return GOOD if mask.get('size') == size else SIZE


def check_masks(file, used: np.ndarray, evaluated: bool) -> None:
    """Refuse masks that cannot be loaded, and count dropped polygons.

    Args:
        file (CocoFile): The file whose masks are loaded.
        used: Mask of the annotations that are used, (N,).
        evaluated: Whether pycocotools loads them, or the pipeline.

    Raises:
        ValueError: If loading them would fail.
    """
    for fault, what in WHAT.items():
        which = used & (file.masks == fault)
        if which.any():
            raise MMKDValueError(
                f'{file.count(which)} have {what}, but masks are '
                f'{"evaluated" if evaluated else "loaded"}: add the mask (a '
                'box as a polygon [[x1, y1, x2, y1, x2, y2, x1, y2]]), or '
                'take `with_mask=True` and the metric `segm` out.'
            )
    which = used & (file.masks == SHORT)
    if which.any() and evaluated:
        raise MMKDValueError(
            f'{file.count(which)} have polygons of an odd number of values '
            'or of less than 3 points in `segmentation`, which pycocotools '
            'cannot read or takes for a box: correct them.'
        )
    if which.any():
        warn(
            f'{file.count(which)} have polygons of an odd number of values or '
            'of less than 3 points in `segmentation`: these are left out, and '
            'an object of no other polygon with them.'
        )
