"""What the plugin needs of the packages around it.

Versions are checked by import name, because two families of distributions
(OpenMMLab's own and the maintained ``onedl-*``) provide the same imports.
"""

import importlib
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.utils import digit_version

# Import name -> oldest version that the plugin is tested to work with, and
# the first one that it is known not to work with.
SUPPORTED = dict(
    torch=('2.1', None),
    mmengine=('0.10.0', None),
    mmcv=('2.1.0', None),
    mmdet=('3.3.0', '4.0.0'),
    mmpretrain=('1.2.0', '2.0.0'),
)


def check_versions(*names: str) -> None:
    """Refuse packages that the plugin cannot work with.

    Args:
        names (str): Import names out of :data:`SUPPORTED`.

    Raises:
        ImportError: If a package cannot be imported or its version is out
            of range.
    """
    for name in names:
        low, high = SUPPORTED[name]
        wanted = f'>={low}' + (f',<{high}' if high else '')
        try:
            found = importlib.import_module(name).__version__
        except ImportError as error:
            raise ImportError(
                f'mmkd_plugin needs {name}{wanted}, but importing it failed '
                f'({error}): install it as the README says.'
            ) from error
        version = digit_version(found.split('+')[0])
        if version < digit_version(low) or (
            high and version >= digit_version(high)
        ):
            raise ImportError(
                f'mmkd_plugin needs {name}{wanted} but got {name} {found}: '
                f'install a version in that range.'
            )


def _history_buffer_method(owner: type, name: str):
    """Stand in for ``getattr`` while a checkpoint is unpickled.

    A pickled :class:`HistoryBuffer` refers to its own statistics methods
    through ``builtins.getattr``; nothing else may be looked up.
    """
    if owner is not HistoryBuffer or name not in (
        'min',
        'max',
        'current',
        'mean',
    ):
        raise RuntimeError(
            f'refused to look up {name!r} on {owner!r} while unpickling: '
            'only the statistics methods of HistoryBuffer are known safe.'
        )
    return getattr(owner, name)


def safe_globals() -> list:
    """What OpenMMLab checkpoints hold beyond tensors and plain containers.

    Returns:
        list: Entries for ``torch.serialization.add_safe_globals``.
    """
    multiarray = getattr(np, '_core', None) or np.core
    entries = [
        HistoryBuffer,
        (_history_buffer_method, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
    ]
    # numpy 1 and 2 keep these two under different module paths, and a
    # checkpoint may have been written under the other one.
    for function in ('_reconstruct', 'scalar'):
        target = getattr(multiarray.multiarray, function)
        for package in ('numpy.core', 'numpy._core'):
            entries.append((target, f'{package}.multiarray.{function}'))
    entries += [type(np.dtype(code)) for code in '?bBhHiIlLqQefd']
    return entries


def load_from_local(filename, map_location='cpu') -> object:
    """Unpickle tensors, plain containers and :func:`safe_globals`, no more.

    Args:
        filename (str | Path): A file written by ``torch.save``.
        map_location: As in :func:`torch.load`.

    Returns:
        object: The content of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        pickle.UnpicklingError: If the file holds anything else.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'The checkpoint {filename} was not found: give the path of an '
            'existing file.'
        )
    kept = torch.serialization.get_safe_globals()
    try:
        torch.serialization.add_safe_globals(safe_globals())
        return torch.load(path, map_location=map_location, weights_only=True)
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(kept)


def install_checkpoint_loader() -> None:
    """Let MMEngine read local checkpoints by :func:`load_from_local`.

    From torch 2.6 on, where ``weights_only`` is the default, MMEngine's own
    loader either fails on the log history in MMEngine's checkpoints or
    falls back to running whatever code a file holds.
    """
    if digit_version(torch.__version__.split('+')[0]) >= digit_version('2.6'):
        CheckpointLoader.register_scheme(
            prefixes='', loader=load_from_local, force=True
        )
