"""A teacher's config, and the model that it describes."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from ..arguments import check_path
from ..exceptions import MMKDFileNotFoundError, MMKDTypeError, MMKDValueError
from ..model_config import config_of, model_of

# TypeError of a class that does not have the given arguments.
ARGUMENTS = r'\w+(\.__init__)?\(\) (got an unexpected|missing \d+ required)'


def load_config(config) -> Config:
    """Read a teacher's config.

    Args:
        config (str | Path | dict | Config): Path of a config file, a name
            such as ``'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'``,
            or the config itself.

    Returns:
        A config with a ``model``.

    Raises:
        FileNotFoundError: If the file, the named package or a base of the
            config is not there.
        ValueError: If the config cannot be read, or has no ``model``.
        TypeError: If ``config`` is of another type.
    """
    if isinstance(config, (str, Path)):
        check_path('teacher.config', config)
        cfg = config_of(_config_path(str(config)), "teacher's config")
    elif isinstance(config, dict):
        cfg = Config(dict(config))
        _import_modules(cfg)
    elif isinstance(config, Config):
        cfg = config
    else:
        raise MMKDTypeError(
            'Expected `config` of the teacher to be a path, a name such as '
            "'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py' or a dict "
            f'but got {type(config).__name__}.'
        )
    with _explain_imports():
        # A pure Python config imports its types only here.
        model = cfg.get('model')
    if not isinstance(model, dict) or 'type' not in model:
        raise MMKDValueError(
            "Expected the teacher's config to have a `model` with a `type` "
            f'but got the keys {sorted(cfg.keys())}: give the config that '
            'the teacher was trained with.'
        )
    scope = cfg.get('default_scope')
    if scope is not None and not isinstance(scope, str):
        raise MMKDTypeError(
            "Expected `default_scope` of the teacher's config to be the name "
            f'of a library, such as mmdet, but got {scope!r}.'
        )
    return cfg


@contextmanager
def _explain_imports() -> Iterator[None]:
    """Explain that a failed import is needed by the teacher's config."""
    try:
        yield
    except ImportError as error:
        reason = str(error).strip().splitlines()[0]
        raise MMKDValueError(
            f"The teacher's config imports what is not there ({reason}): "
            'install what is missing, or the version of the library that the '
            'config is for.'
        ) from error


def _import_modules(cfg: Config) -> None:
    """Import `custom_imports` of a dict, as MMEngine does for a file."""
    imports = cfg.get('custom_imports')
    if not imports:
        return
    try:
        import_modules_from_strings(**imports)
    except (ImportError, TypeError) as error:
        reason = str(error.__context__ or error).strip().splitlines()[0]
        raise MMKDValueError(
            "The `custom_imports` of the teacher's config failed "
            f'({reason}): install what is missing, put its folder on '
            'PYTHONPATH, or take it out of the config.'
        ) from error


def _config_path(name: str) -> str:
    """Turn a path or a ``package::path`` name into the path of a file."""
    path = Path(name).expanduser()
    if '::' in name:
        package, relative = name.split('::', 1)
        try:
            # A folder without __init__.py can be imported, and has no file.
            root = Path(importlib.import_module(package).__file__ or '').parent
        except (ImportError, ValueError) as error:  # of '::x' too
            raise MMKDFileNotFoundError(
                f"The teacher's config {name!r} names the package "
                f'{package!r}, which cannot be imported ({error}): install '
                'it or give the path of a config file.'
            ) from error
        path = root / '.mim' / 'configs' / relative
    if not path.is_file():
        found = 'is a folder' if path.is_dir() else f'was not found at {path}'
        raise MMKDFileNotFoundError(
            f"The teacher's config {name!r} {found}: give "
            'the path of a config file or a name of the form '
            "'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'."
        )
    return str(path)


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config, with random weights.

    Raises:
        TypeError: If what the config names is no model.
        ValueError: If a type in the config is not registered, or does not
            have the given arguments.
    """
    try:
        # The student must get the same random numbers without a teacher.
        with torch.random.fork_rng(devices=[]), _explain_imports():
            model = model_of(cfg)
    except TypeError as error:
        if not re.search(ARGUMENTS, str(error)):
            raise
        raise MMKDValueError(
            f"The model of the teacher's config could not be built "
            f'({str(error).splitlines()[0]}): correct its arguments, or '
            'install the version of the library that the config is for.'
        ) from error
    except KeyError as error:
        found = re.match(r'(\S+) is not in the', str(error.args[0]))
        if not found:
            raise
        raise MMKDValueError(
            f"The teacher's config needs the type {found[1]!r}, "
            'which is not registered in its `default_scope` '
            f'{cfg.get("default_scope")!r}: correct the name or the scope, '
            'or install the package that has it.'
        ) from error
    if not isinstance(model, nn.Module):
        raise MMKDTypeError(
            f"The `model` of the teacher's config has the type "
            f'{cfg.model["type"]!r}, which builds a {type(model).__name__} '
            'and no model: give the config that the teacher was trained with.'
        )
    return model
