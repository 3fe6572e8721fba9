"""The check of all data of a run."""

import traceback

from ...arguments import few
from ...exceptions import MMKDError, MMKDValueError
from ..class_names import names_of
from .cause import find_cause
from .coco import list_images
from .dispatch import check_part
from .evaluators import check_evaluator
from .images import check_images
from .instances import check_any_box, check_instances, read_infos
from .introspection import reads_folders, unwrap


def check_data(runner, *splits: str) -> None:
    """Build the data sets of a runner, and refuse wrong ones.

    Entries that are left out are counted in the log.

    Args:
        runner (Runner): Built from a config.
        splits: Any of 'train', 'val' and 'test'.

    Raises:
        FileNotFoundError, ValueError: See :func:`check_dataset` and
            :func:`find_cause`; also if an evaluator does not fit its data,
            or two splits do not have the same classes.
    """
    known = {}
    for split in splits:
        name = f'{split}_loop'
        # Not hasattr, which would build it, and hide an AttributeError.
        if name not in vars(runner) and name not in dir(type(runner)):
            continue  # a minimal runner of a custom loop
        cfg = getattr(runner, 'cfg', {})
        loader = cfg.get(f'{split}_dataloader')
        evaluator = cfg.get(f'{split}_evaluator')
        try:
            loop = getattr(runner, name)
        except Exception as error:
            if isinstance(error, MMKDError) or not isinstance(loader, dict):
                raise
            cause = find_cause(split, loader.get('dataset'), evaluator)
            if cause is None or _is_explained(error):
                raise
            raise MMKDValueError(cause) from error
        if not hasattr(loop, 'dataloader'):
            continue  # no loop, or one of another kind
        dataset = loop.dataloader.dataset
        check_dataset(split, dataset)
        if split != 'train':
            check_evaluator(split, loop, evaluator)
        known[split] = names_of(dataset, split)
    _compare_classes(known)


def _is_explained(error: Exception) -> bool:
    """Whether a data set of this package has raised a clear error itself."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals['__name__'].startswith('mmkd_plugin.datasets.')


def check_dataset(split: str, dataset) -> None:
    """Refuse a data set from which nothing, or something wrong, is learnt.

    Args:
        split: What to call it in the message.
        dataset (Dataset): A data set of MMEngine, wrapped or not; others are
            not checked.

    Raises:
        FileNotFoundError: If images are missing.
        ValueError: If its annotations, classes and images do not fit
            together, or there is nothing to train on.
    """
    without_file = []
    for part in unwrap(dataset):
        if not len(part):
            continue
        file = check_part(split, part, type(part))
        if file is not None:
            check_images(split, part, *list_images(file, part))
            continue
        infos = read_infos(part)
        check_instances(split, part, infos)
        paths = [str(info.get('img_path') or '') for info in infos]
        sizes = [
            (info['width'], info['height'])
            if info.get('width') and info.get('height')
            else None
            for info in infos
        ]
        check_images(split, part, paths, sizes)
        without_file.append(part)
    check_any_box(
        split, [p for p in without_file if not reads_folders(type(p))]
    )
    names_of(dataset, split)


def _compare_classes(known: dict) -> None:
    """Refuse splits whose labels mean different classes."""
    known = {split: names for split, names in known.items() if names}
    for split, names in known.items():
        for other, other_names in known.items():
            if list(names) != list(other_names):
                raise MMKDValueError(
                    f'The {split} data have the classes {few(names)} '
                    f'({len(names)}) and the {other} data '
                    f'{few(other_names)} '
                    f'({len(other_names)}), and labels are numbered by them: '
                    'give both the same `classes`, and folders.'
                )
