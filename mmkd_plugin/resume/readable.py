"""Write no checkpoint that resuming would refuse."""

import io
import pickle
import tempfile
import warnings
from types import SimpleNamespace

import numpy as np
import torch

from ..checkpoints.unpickling import load_from_local
from ..exceptions import MMKDError, MMKDValueError
from .run_data import misplaced

# Largest number of elements of a tensor or array that is tried unchanged.
SMALL = 16


class _Pickler(pickle.Pickler):
    """Shortens large tensors and arrays, which take time and cannot fail."""

    def reducer_override(self, value):
        if (
            type(value) is torch.Tensor
            and value.layout is torch.strided
            and value.numel() > SMALL
            and not value.is_quantized
        ):
            return torch.empty(0, dtype=value.dtype).__reduce_ex__(2)
        if (
            type(value) is np.ndarray
            and value.size > SMALL
            and not value.dtype.hasobject
        ):
            return value.reshape(-1)[:1].copy().__reduce_ex__(2)
        return NotImplemented


_PICKLE_MODULE = SimpleNamespace(__name__=__name__, Pickler=_Pickler)


def refuse_unreadable(content: dict) -> None:
    """Save and load a checkpoint on trial, without its large tensors.

    Args:
        content: The checkpoint, or a part of it.

    Raises:
        ValueError: If it cannot be saved, or loading refuses it.
    """
    if _reason(content) is None:
        return
    place, value, reason = _find(content)
    raise MMKDValueError(
        f'A checkpoint of this run could not be resumed, because {place} '
        f'holds a {type(value).__module__}.{type(value).__qualname__} '
        f'({reason}): keep strings, numbers, lists and dicts there, for '
        'example str(path) instead of a path.'
    )


def _reason(content: object) -> str | None:
    """Why something cannot be saved and read again; None if it can."""
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer, pickle_module=_PICKLE_MODULE)
    except OSError:
        raise  # not caused by the content
    # An object may raise any exception when it is pickled.
    except Exception as error:
        return ' '.join(str(error).split())[:200] or type(error).__name__
    with tempfile.NamedTemporaryFile(suffix='.pth') as file:
        file.write(buffer.getvalue())
        file.flush()
        try:
            with warnings.catch_warnings():
                # For unknown classes, which are reported below.
                warnings.simplefilter('ignore')
                found = load_from_local(file.name)
        except MMKDError as error:
            return str(error.__cause__ or error).strip().rstrip('.')
    if isinstance(found, dict) and misplaced(found):
        return 'whose class is not known when it is read'
    return None


def _find(content: object) -> tuple[str, object, str]:
    """The innermost part that is refused: its path, its value, and why."""
    path: list = []
    found, reason = content, _reason(content)
    while True:
        parts: list = []
        if isinstance(found, dict):
            parts = list(found.items())
        elif isinstance(found, (list, tuple)):
            parts = list(enumerate(found))
        for key, value in parts:
            inner = _reason(_nest([*path, key], value))
            if inner is not None:
                path.append(key)
                found, reason = value, inner
                break
        else:
            return f'`{".".join(map(str, path))}`', found, str(reason)


def _nest(path: list, value: object) -> object:
    """A dict with a value at a path: what is refused depends on the path."""
    for key in reversed(path):
        value = {key: value} if isinstance(key, str) else [value]
    return value
