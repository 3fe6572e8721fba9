"""Reading checkpoint files without running code that they may hold.

The format is detected by the first bytes. A file of ``torch.save`` is read by
an unpickler that calls only functions of this package. It works the same on
every version of torch, while ``weights_only`` of ``torch.load`` does not know
the classes of OpenMMLab and differs between versions.
"""

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.runner import CheckpointLoader

from ..arguments import check_switch
from ..exceptions import MMKDValueError
from .closed_world import check_content
from .file_kind import kind_of, open_checkpoint
from .known_kinds import UnsafeFileError
from .safetensors_file import read_safetensors
from .stand_in import stand_ins
from .state_dicts import check_loaded
from .torch_file import read_legacy, read_zip
from .zip_records import TORCHSCRIPT, Records
from .zoo import NOT_COVERED, SCHEMES, as_named, fetch

TRUSTED = 'any code that it holds is run'
WAY_OUT = (
    'Give another file, or --trust-checkpoint if you know where this one '
    'comes from.'
)


def read_file(path: Path, map_location='cpu', *names: str) -> object:
    """Read a file of tensors and other data.

    An object of an unknown class becomes a
    :class:`~mmkd_plugin.checkpoints.stand_in.StandIn`, and a warning names
    the class.

    Args:
        path: A file written by ``torch.save``, or of safetensors.
        map_location: As in :func:`torch.load`; None is the CPU.
        names: What to call the file if it is missing, and what to give
            instead.

    Returns:
        The content of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeFileError: If the file names code; nothing of it was run.
        ValueError: If the file is damaged or of another kind.
    """
    names = names or (f'The checkpoint {path}',)
    with open_checkpoint(path, *names) as file, explain_damage(path):
        content, count = _read(file, _mover(map_location))
    if count:
        _warn_of_stand_ins(path, content)
    return content


def _read(file, move: Callable) -> tuple[object, int]:
    kind = kind_of(file)
    if kind == 'safetensors':
        size = file.seek(0, 2)
        file.seek(0)
        tensors = read_safetensors(file, size)
        for name, tensor in tensors.items():
            moved = move(tensor.untyped_storage(), 'cpu')
            if moved.device.type != 'cpu':
                tensors[name] = tensor.to(moved.device)
        return tensors, 0
    content, count = (read_zip if kind == 'zip' else read_legacy)(file, move)
    check_content(content, file.seek(0, 2))
    return content, count


def _warn_of_stand_ins(path: Path, content: object) -> None:
    found = stand_ins(content)
    if not found:
        return
    names = list(dict.fromkeys(name for _, name in found))
    warnings.warn(
        f'The checkpoint {path} holds objects of {len(names)} classes that '
        f'are not known ({", ".join(names[:3])}'
        f'{", ..." if len(names) > 3 else ""}): their data is kept, without '
        'the classes.',
        stacklevel=3,
    )


def _mover(map_location) -> Callable:
    """From a CPU storage, and its saved device, to the wanted storage."""

    def move(storage, location):
        target = map_location
        if isinstance(target, dict):
            target = target.get(location, location)
        elif callable(target):
            found = target(storage, location)
            return storage if found is None else found
        device = torch.device('cpu' if target is None else target)
        if device.type == 'cpu':
            return storage
        flat = torch.empty(0, dtype=torch.uint8).set_(storage)
        return flat.to(device).untyped_storage()

    return move


def load_from_local(filename, map_location='cpu') -> object:
    """Read a local file with :func:`read_file`, as a loader of MMEngine.

    ``meta['config']``, which MMEngine would run as Python, is left out.

    Args:
        filename (str | Path): Its path.
        map_location: As in :func:`torch.load`.
    """
    return _without_config(read_file(_path(filename), map_location))


def load_trusted(filename, map_location='cpu', *names: str) -> object:
    """Read a file with ``torch.load``, which runs the code in it.

    Args:
        filename (str | Path): Its path.
        map_location: As in :func:`torch.load`.
        names: See :func:`read_file`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, TorchScript, or neither of torch nor of
            safetensors.
    """
    path = _path(filename)
    names = names or (f'The checkpoint {path}',)
    with open_checkpoint(path, *names) as file, explain_damage(path):
        kind = kind_of(file)
        if kind == 'zip':
            try:
                Records(file, 1 << 40)
            except MMKDValueError as error:
                if TORCHSCRIPT in str(error):
                    raise
        if kind == 'safetensors':
            return _read(file, _mover(map_location))[0]
        file.seek(0)
        warnings.warn(
            f'The checkpoint {path} is read with trust_checkpoint=True: '
            f'{TRUSTED}.',
            stacklevel=3,
        )
        return torch.load(file, map_location=map_location, weights_only=False)


def _path(filename) -> Path:
    try:
        return Path(filename).expanduser()
    except (TypeError, RuntimeError) as error:
        raise MMKDValueError(
            f'Expected the path of a checkpoint but got {filename!r}: give '
            'the path of an existing file.'
        ) from error


def _without_config(content):
    meta = content.get('meta') if isinstance(content, dict) else None
    if isinstance(meta, dict):
        meta.pop('config', None)
    return content


@contextmanager
def explain_damage(path: Path):
    """Name the file in errors that are raised while it is read.

    Raises:
        UnsafeFileError: For an UnsafeFileError.
        ValueError: For any other error.
    """
    try:
        yield
    except UnsafeFileError as error:
        raise UnsafeFileError(
            f'The checkpoint {path} was refused: {error} {WAY_OUT}'
        ) from error
    except (PermissionError, torch.cuda.OutOfMemoryError):
        raise  # not caused by the file
    except Exception as error:
        if TORCHSCRIPT in str(error):
            raise MMKDValueError(
                f'The checkpoint {path} was refused: {error}. Give a file '
                'with the state dict.'
            ) from error
        reason = str(error).strip() or type(error).__name__
        reason = reason.splitlines()[0][:200]
        raise MMKDValueError(
            f'The checkpoint {path} could not be read ({reason}): it is '
            'damaged or no checkpoint; download or save it again.'
        ) from error


@contextmanager
def safe_loading(trust: bool = False):
    """Make MMEngine read every checkpoint with this package in this context.

    Depending on the versions of MMEngine and torch, MMEngine's own loaders
    refuse the log history in its own checkpoints, or run code in a file.

    Args:
        trust: Whether code in files may run. Inside another context that
            allows it, this one does too.

    Raises:
        TypeError: If `trust` is neither True nor False.
    """
    check_switch(trust=trust)
    before = CheckpointLoader._schemes
    trust = trust or getattr(before.get(''), 'trusts', False)
    read = _trusting if trust else load_from_local
    schemes = {prefix: _loader(prefix, read) for prefix in before}
    # Longer prefixes first, as MMEngine looks them up.
    CheckpointLoader._schemes = type(before)(
        sorted(schemes.items(), reverse=True)
    )
    try:
        yield
    finally:
        CheckpointLoader._schemes = before


def _trusting(filename, map_location='cpu') -> object:
    return _without_config(load_trusted(filename, map_location))


def _loader(prefix: str, read: Callable) -> Callable:
    """The loader of checkpoints whose name begins with a prefix."""

    def load_from_anywhere(filename, map_location='cpu', logger=None):
        path = filename
        if prefix in SCHEMES:
            path = fetch(filename)
        elif prefix:
            raise MMKDValueError(NOT_COVERED.format(filename))
        content = check_loaded(read(path, map_location), filename)
        return as_named(str(filename), content)

    load_from_anywhere.trusts = read is _trusting  # type: ignore[attr-defined]
    return load_from_anywhere
