"""Reading files of ``torch.save`` without running code that they may hold.

A pickle may name any function and have it called.  Here a name is looked up
in a list of what OpenMMLab checkpoints, and the options that scripts save
beside weights, really hold, and a file with any other name is refused.  That
works alike on every torch, while ``weights_only`` of ``torch.load`` knows
nothing of OpenMMLab and differs from version to version.
"""

import collections
import pickle
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch._utils
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from .download import download
from .exceptions import MMKDError, MMKDFileNotFoundError, MMKDValueError

try:  # numpy 2
    from numpy._core import multiarray
except ImportError:
    from numpy.core import multiarray  # type: ignore[no-redef]


class UnsafeFileError(MMKDError, pickle.UnpicklingError):
    """A file names something that is not known to be harmless."""


def _history_buffer_method(owner: type, name: str):
    """Stand in for ``getattr`` while a checkpoint is unpickled.

    A pickled :class:`HistoryBuffer` refers to its own statistics methods
    through ``getattr``; nothing else may be looked up.
    """
    if owner is not HistoryBuffer or name not in (
        'min',
        'max',
        'current',
        'mean',
    ):
        raise UnsafeFileError(f'it looks up {name!r} of {owner!r}.')
    return getattr(owner, name)


def _encode(text: str, encoding: str) -> bytes:
    """What pickle writes for bytes in protocol 2, and nothing more."""
    if encoding != 'latin1':
        raise UnsafeFileError(f'it encodes by {encoding!r}.')
    return text.encode('latin1')


def _harmless() -> dict:
    """Full name of all that a file may name, to what it stands for."""
    known = {
        'builtins.getattr': _history_buffer_method,
        '_codecs.encode': _encode,
        'argparse.Namespace': Namespace,
        'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
        'mmengine.config.config.ConfigDict': ConfigDict,
        'numpy.ndarray': np.ndarray,
        'numpy.dtype': np.dtype,
        'torch.Size': torch.Size,
        'torch.device': torch.device,
        'torch.nn.parameter.Parameter': torch.nn.Parameter,
    }
    for kind in (bool, bytearray, complex, float, int, list, set, slice, str):
        known[f'builtins.{kind.__name__}'] = kind
    for name in ('OrderedDict', 'defaultdict', 'deque', 'Counter'):
        known[f'collections.{name}'] = getattr(collections, name)
    for name in (
        '_rebuild_tensor',
        '_rebuild_tensor_v2',
        '_rebuild_parameter',
    ):
        known[f'torch._utils.{name}'] = getattr(torch._utils, name)
    for name, value in vars(torch).items():
        if isinstance(value, torch.dtype):
            known[f'torch.{name}'] = value
    # numpy 1 and 2 keep these under different names, and a file may have
    # been written under the other one.
    for name in ('_reconstruct', 'scalar'):
        for package in ('numpy.core', 'numpy._core'):
            known[f'{package}.multiarray.{name}'] = getattr(multiarray, name)
    for code in '?bBhHiIlLqQefd':
        dtype = type(np.dtype(code))
        known[f'numpy.dtypes.{dtype.__name__}'] = dtype
    return known


_HARMLESS = _harmless()


class _Unpickler(pickle.Unpickler):
    """Looks names up among the harmless ones, whoever asks."""

    def find_class(self, module: str, name: str):
        full = f'{module}.{name}'.replace('__builtin__.', 'builtins.')
        if full not in _HARMLESS:
            raise UnsafeFileError(
                f'it holds {full}, which is not among the classes known to '
                'be harmless.'
            )
        return _HARMLESS[full]


def _load(file, **kwargs) -> object:
    return _Unpickler(file, **kwargs).load()


_PICKLE_MODULE = SimpleNamespace(
    __name__=__name__, Unpickler=_Unpickler, load=_load
)


def load_from_local(filename, map_location='cpu') -> object:
    """Read a file of tensors and what OpenMMLab keeps beside them.

    Args:
        filename (str | Path): A file written by ``torch.save``.
        map_location: As in :func:`torch.load`.

    Returns:
        object: The content of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeFileError: If the file names a class or function that
            is not known to be harmless; nothing of it was run.
        ValueError: If the file is damaged or of another kind.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise MMKDFileNotFoundError(
            f'The checkpoint {filename} '
            f'{"is a folder" if path.is_dir() else "was not found"}: give '
            'the path of an existing file.'
        )
    with explain_damage(path):
        return torch.load(
            path,
            map_location=map_location,
            pickle_module=_PICKLE_MODULE,
            weights_only=False,
        )


@contextmanager
def explain_damage(path: Path):
    """Name the file in what is raised while it is read.

    Raises:
        UnsafeFileError: If that was raised.
        ValueError: For whatever torch, pickle or zipfile raises.
    """
    try:
        yield
    except UnsafeFileError as error:
        raise UnsafeFileError(
            f'The checkpoint {path} was refused: {error} Give another file.'
        ) from error
    except (PermissionError, MemoryError, torch.cuda.OutOfMemoryError):
        raise  # not for what the file holds
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise MMKDValueError(
            f'The checkpoint {path} could not be read '
            f'({reason.splitlines()[0]}): it is damaged or no checkpoint; '
            'download or save it again.'
        ) from error


def load_from_http(url: str, map_location='cpu') -> object:
    """Download a file once a node and read it by :func:`load_from_local`.

    Args:
        url (str): An http(s) URL.
        map_location: As in :func:`torch.load`.

    Raises:
        FileNotFoundError: If the file cannot be downloaded.
        UnsafeFileError: As :func:`load_from_local`.
    """
    return load_from_local(download(url), map_location)


@contextmanager
def safe_loading(trust: bool = False) -> Iterator[None]:
    """Let MMEngine read checkpoints this way meanwhile.

    Its own loader, depending on its and torch's version, refuses the log
    history in its own checkpoints or runs what a file holds.  It may be
    entered within itself.
    """
    before = CheckpointLoader._schemes
    # Registering changes the dict in place.
    CheckpointLoader._schemes = dict(before)
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(
        ['http://', 'https://'], load_from_http, force=True
    )
    try:
        yield
    finally:
        CheckpointLoader._schemes = before
