"""``--cfg-options method=NAME``: the same models, another method."""

from pathlib import Path

from mmengine.config import Config

from ..arguments import check_text
from ..exceptions import MMKDValueError

PACKAGE = Path(__file__).parents[1]


def use_method(cfg: Config, name: str) -> None:
    """Replace the method by which a config distils.

    The config must have a ``method``, the name of the one that it comes with:
    a promise that this changes nothing but the hook with the teacher.  The
    other is the file ``configs/_base_/methods/DATA_NAME.py``, or without it
    ``NAME.py``, where DATA is the folder of the config.  Beside the hook,
    ``distill``, it may have other keys, and ``pairs``: what differs for some
    configs, by their file name.

    Args:
        cfg: Changed in place.
        name: Of a method.

    Raises:
        ValueError: If there is no such method, or the config has none.
    """
    check_text('method', name)
    hooks = cfg.get('custom_hooks') or []
    found = [i for i, hook in enumerate(hooks) if 'teacher' in hook]
    if not cfg.get('method') or len(found) != 1:
        raise MMKDValueError(
            f'The config {cfg.filename!r} has no `method` for --cfg-options '
            f'method={name} to replace: give one that has, such as '
            'configs/cifar100/resnet56_resnet20.py.'
        )
    cfg.method = name
    own = Path(cfg.filename)
    other = read_method(name, own.parent.name, own.stem)
    hooks[found[0]] = dict(
        teacher=hooks[found[0]].teacher, **other.pop('distill')
    )
    cfg.custom_hooks = hooks
    cfg.merge_from_dict(other.to_dict())


def read_method(name: str, data: str, pair: str) -> Config:
    """The fragment of a method, for a data set and a pair of models.

    Args:
        name: Of the method.
        data: Of the data set, as the files of its fragments begin.
        pair: Name of the config of the pair, a key of ``pairs``.

    Returns:
        ``distill``, the hook without its teacher, and what else the method
        changes.

    Raises:
        ValueError: If there is no such method.
    """
    folder = methods_folder()
    for path in (folder / f'{data}_{name}.py', folder / f'{name}.py'):
        if path.is_file():
            method = Config.fromfile(path)
            method.merge_from_dict(method.pop('pairs', {}).get(pair, {}))
            return method
    known = sorted(
        {path.stem.removeprefix(f'{data}_') for path in folder.glob('*.py')}
    )
    raise MMKDValueError(
        f'Expected method={name} of --cfg-options to be one of the methods in '
        f'{folder}, {", ".join(known)}: correct it.'
    )


def methods_folder() -> Path:
    """Where the fragments are, in a checkout or in an installed package."""
    return next(
        folder / 'configs' / '_base_' / 'methods'
        for folder in (PACKAGE / '.mim', PACKAGE.parent)
        if folder.joinpath('configs').is_dir()
    )
