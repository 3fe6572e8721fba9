"""Checks of boxes and labels of a built data set of any format."""

from math import isfinite

from ...arguments import few
from ...exceptions import MMKDValueError
from .messages import short

# Number of images that are read, evenly spread over a larger data set.
SAMPLED = 20000


def read_infos(part) -> list[dict]:
    """The data infos of a data set."""
    step = max(len(part) // SAMPLED, 1)
    return [part.get_data_info(i) for i in range(0, len(part), step)]


def check_instances(split: str, part, infos: list[dict]) -> None:
    """Refuse labels without a class, and invalid boxes.

    Args:
        split: What to call the data in a message.
        part (Dataset): The data set, for its classes.
        infos: Result of :func:`read_infos`.

    Raises:
        ValueError: If one is found.
    """
    classes = part.metainfo.get('classes')
    number = len(classes) if isinstance(classes, (list, tuple)) else None
    for info in infos:
        path = info.get('img_path', '')
        labels = [
            entry['bbox_label']
            for entry in info.get('instances') or ()
            if 'bbox_label' in entry
        ]
        if isinstance(info.get('gt_label'), int):
            labels.append(info['gt_label'])
        for label in labels:
            if number is not None and not -1 < label < number:
                raise MMKDValueError(
                    f'The image {path} of the {split} data has the label '
                    f'{label!r}, but there are {number} classes '
                    f'({few(classes)}), numbered from 0: correct it.'
                )
        for entry in info.get('instances') or ():
            box = entry.get('bbox')
            if (
                isinstance(box, (list, tuple))
                and not entry.get('ignore_flag')
                and not _is_box(box)
            ):
                raise MMKDValueError(
                    f'The image {path} of the {split} data has the `bbox` '
                    f'{short(box)}: expected [x1, y1, x2, y2] with x1 < x2 '
                    'and y1 < y2; correct it.'
                )


def check_any_box(split: str, parts: list) -> None:
    """Refuse training data in which no image has a box.

    Raises:
        ValueError: If there is none.
    """
    if parts and not any(
        info.get('instances', True) or getattr(part, 'test_mode', False)
        for part in parts
        for info in map(part.get_data_info, range(len(part)))
    ):
        raise MMKDValueError(
            f'None of the {sum(map(len, parts))} images of the {split} data '
            f'({getattr(parts[0], "ann_file", "")}) has a box to train on: '
            'expected boxes of the classes '
            f'{few(parts[0].metainfo.get("classes", ()))}; correct the '
            'annotations.'
        )


def _is_box(box) -> bool:
    if len(box) != 4 or not all(map(isfinite, box)):
        return False
    return box[0] < box[2] and box[1] < box[3]
