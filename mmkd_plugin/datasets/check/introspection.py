"""What a data set is: unwrapped, its pipeline, its storage, its format."""

from collections.abc import Iterator


def unwrap(dataset) -> Iterator:
    """The data sets with ``get_data_info`` inside wrappers."""
    inner = getattr(dataset, 'datasets', None) or [
        getattr(dataset, 'dataset', None)
    ]
    if inner != [None]:
        for part in inner:
            yield from unwrap(part)
    elif hasattr(dataset, 'get_data_info'):
        yield dataset


def transforms(dataset) -> list:
    """The steps of a data set's pipeline, also those inside wrappers."""
    found = []

    def add(steps):
        for step in steps:
            found.append(step)
            inner = getattr(step, 'transforms', None)
            for one in inner if isinstance(inner, (list, tuple)) else ():
                add(one if isinstance(one, (list, tuple)) else [one])

    add(getattr(getattr(dataset, 'pipeline', None), 'transforms', None) or ())
    return found


def setting(step, name: str):
    """A setting of a step, built or a config; None if it has none."""
    if isinstance(step, dict):
        return step.get(name)
    return getattr(step, name, None)


def is_remote(part) -> bool:
    """Whether a data set, metric or step reads from a remote storage."""
    for name in ('backend_args', 'file_client_args'):
        where = setting(part, name)
        if where and where.get('backend') not in ('local', 'disk'):
            return True
    return False


def reads_coco(kind: type) -> bool:
    """Whether a data set class reads a COCO file as MMDetection does."""
    return (
        _qualname(kind, 'load_data_list') == 'CocoDataset.load_data_list'
        and _qualname(kind, 'parse_data_info') == 'CocoDataset.parse_data_info'
        and getattr(kind, 'COCOAPI', type).__name__ == 'COCO'
    )


def reads_xml(kind: type) -> bool:
    """Whether it reads XML files as MMDetection's XMLDataset does."""
    return (
        _qualname(kind, 'load_data_list') == 'XMLDataset.load_data_list'
        and _qualname(kind, 'parse_data_info') == 'XMLDataset.parse_data_info'
    )


def reads_folders(kind: type) -> bool:
    """Whether it reads image folders as MMPretrain does."""
    return _qualname(kind, 'load_data_list') == 'CustomDataset.load_data_list'


def _qualname(kind: type, method: str) -> str:
    return getattr(getattr(kind, method, None), '__qualname__', '')


def reads_own(kind: type) -> bool:
    """Whether it reads MMEngine's own format."""
    return _qualname(kind, 'load_data_list') == 'BaseDataset.load_data_list'
