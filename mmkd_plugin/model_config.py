"""From a config file to a model, as MMEngine's runner builds it."""

from pathlib import Path

import torch.nn as nn
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from .exceptions import MMKDError, MMKDFileNotFoundError, MMKDValueError


def config_of(path: str, role: str = 'config') -> Config:
    """Read a config file, with a one-sentence error if that fails.

    Args:
        path: Path of the file.
        role: What to call it in the message.

    Returns:
        The config, merged with its bases.

    Raises:
        FileNotFoundError: If it, or one of its bases, is missing.
        ValueError: If it cannot be read, or its code fails.
    """
    if not Path(path).expanduser().is_file():
        found = 'is a folder' if Path(path).is_dir() else 'was not found'
        raise MMKDFileNotFoundError(
            f'The {role} {path!r} {found}: give the path of a config file.'
        )
    try:
        return Config.fromfile(path)
    except MMKDError:
        raise
    except RecursionError as error:
        raise MMKDValueError(
            f'The {role} {path!r} could not be read, because its bases lead '
            'back to itself: correct `_base_`.'
        ) from error
    except FileNotFoundError as error:
        files = _files(error)
        raise MMKDFileNotFoundError(
            f'The {role} {path!r} could not be read, because '
            f'{files[-1] if files else error} was not found, which '
            f'{files[-2] if len(files) > 1 else "it"} names: put it there, '
            'or give the whole config, as a run leaves it in its work '
            'directory.'
        ) from error
    except (Exception, SystemExit) as error:
        # MMEngine adds all of `sys.path` to a failed import.
        cause = error.__context__ if isinstance(error, ImportError) else None
        advice = 'correct it.'
        # Older MMEngine raises DistributionNotFound of `pkg_resources`.
        if isinstance(error, ImportError) or (
            type(error).__name__ == 'DistributionNotFound'
        ):
            advice = (
                'install what is missing, put its folder on PYTHONPATH, or '
                'take it out of the config.'
            )
        raise MMKDValueError(
            f'The {role} {path!r} could not be read '
            f'({reason_of(cause or error)}{_place(error, path)}): {advice}'
        ) from error


def model_of(cfg: Config) -> nn.Module:
    """Build the model of a config, with random weights.

    Args:
        cfg: A config with ``model``.  ``data_preprocessor`` may be inside it
            or, as in MMPretrain's configs, next to it.

    Returns:
        The model that a runner of this config has.
    """
    model = cfg.model.copy()
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    scope = cfg.get('default_scope') or 'mmengine'
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(model)


def reason_of(error: BaseException) -> str:
    """Class and first line of an error, for a message."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    lines = str(text).strip().splitlines()
    return (
        f'{type(error).__name__}: {lines[0]}'
        if lines
        else (type(error).__name__)
    )


def _place(error: BaseException, path: str) -> str:
    """Line of an error in a config, and its file if it is a base."""
    files = _files(error)
    file = files[-1] if files else path
    line = getattr(error, 'lineno', None)
    trace = error.__traceback__
    while trace:
        # MMEngine compiles the code of a config under the config's name.
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    other = '' if Path(file).absolute() == Path(path).absolute() else file
    where = f' of {other}' if other and line else f' in {other}' * bool(other)
    return f', line {line}{where}' if line else where


def _files(error: BaseException) -> list[str]:
    """Config files that MMEngine was reading, outermost first."""
    found: list[str] = []
    trace = error.__traceback__
    while trace:
        name = trace.tb_frame.f_locals.get('filename')
        if (
            trace.tb_frame.f_globals.get('__name__') == Config.__module__
            and isinstance(name, str)
            and str(Path(name).expanduser().absolute()) not in found
        ):
            found.append(str(Path(name).expanduser().absolute()))
        trace = trace.tb_next
    return found
