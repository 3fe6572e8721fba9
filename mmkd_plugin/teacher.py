"""The teacher: built from a config, loaded strictly, frozen."""

import importlib
import os
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.dist import barrier
from mmengine.registry import MODELS, DefaultScope

from .compat import load_from_local


def load_config(config) -> Config:
    """Read a teacher's config.

    Args:
        config (str | Path | dict | Config): Path of a config file, a name
            such as ``'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'``,
            or the config itself.

    Returns:
        Config: A config with a ``model``.

    Raises:
        FileNotFoundError: If the file, or the named package, is not there.
        ValueError: If the config has no ``model``.
        TypeError: If ``config`` is of another type.
    """
    if isinstance(config, (str, Path)):
        cfg = Config.fromfile(_config_path(str(config)))
    elif isinstance(config, dict):
        cfg = Config(dict(config))
    elif isinstance(config, Config):
        cfg = config
    else:
        raise TypeError(
            'Expected `config` of the teacher to be a path, a name such as '
            "'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py' or a dict "
            f'but got {type(config).__name__}.'
        )
    if 'type' not in cfg.get('model', {}):
        raise ValueError(
            "Expected the teacher's config to have a `model` with a `type` "
            f'but got the keys {sorted(cfg.keys())}: give the config that '
            'the teacher was trained with.'
        )
    return cfg


def _config_path(name: str) -> str:
    """Turn a path or a ``package::path`` name into the path of a file."""
    path = Path(name).expanduser()
    if '::' in name:
        package, relative = name.split('::', 1)
        try:
            root = Path(importlib.import_module(package).__file__).parent
        except ImportError as error:
            raise FileNotFoundError(
                f"The teacher's config {name!r} names the package "
                f'{package!r}, which cannot be imported ({error}): install '
                'it or give the path of a config file.'
            ) from error
        path = root / '.mim' / 'configs' / relative
    if not path.is_file():
        raise FileNotFoundError(
            f"The teacher's config {name!r} was not found at {path}: give "
            'the path of a config file or a name of the form '
            "'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'."
        )
    return str(path)


def load_checkpoint(checkpoint: str) -> dict:
    """Read a checkpoint without running any code that it may hold.

    Args:
        checkpoint (str): Path or http(s) URL.  A URL is downloaded once a
            node into torch's hub directory.

    Returns:
        dict: Parameter names to tensors, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file, or it cannot be
            downloaded.
        ValueError: If the file is not a checkpoint of tensors.
    """
    path = Path(checkpoint).expanduser()
    if urlparse(checkpoint).scheme in ('http', 'https'):
        path = _download(checkpoint)
    if not path.is_file():
        raise FileNotFoundError(
            f"The teacher's checkpoint {checkpoint!r} was not found: give "
            'the path or the URL of an existing file.'
        )
    try:
        content = load_from_local(path)
    except Exception as error:  # noqa: BLE001, torch raises many kinds
        raise ValueError(
            f"The teacher's checkpoint {path} could not be read as weights "
            f'({str(error).strip().splitlines()[0]}): expected a file '
            'written by torch.save with tensors and what OpenMMLab keeps '
            'beside them.'
        ) from error
    state = (
        content.get('state_dict', content)
        if isinstance(content, dict)
        else None
    )
    if not state or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise ValueError(
            f"The teacher's checkpoint {path} holds no state dict: expected "
            'names and tensors, at the top level or under `state_dict`.'
        )
    if all(key.startswith('module.') for key in state):
        state = {key[len('module.') :]: state[key] for key in state}
    return state


def _download(url: str) -> Path:
    """Fetch a URL into torch's hub directory, once a node."""
    path = Path(
        torch.hub.get_dir(),
        'checkpoints',
        os.path.basename(urlparse(url).path),
    )
    failure = None
    if int(os.environ.get('LOCAL_RANK', 0)) == 0 and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except (URLError, OSError) as error:
            failure = error
    barrier()
    if failure is not None or not path.is_file():
        raise FileNotFoundError(
            f"The teacher's checkpoint {url} could not be downloaded "
            f'({failure or "see the log of the first rank of this node"}): '
            f'put the file at {path}, or set the `checkpoint` of the teacher '
            'to a local path.'
        )
    return path


def load_strictly(model: nn.Module, state: dict, source: str) -> None:
    """Load a state dict and refuse anything but a complete match.

    Args:
        model (nn.Module): The model to fill.
        state (dict): Parameter names to tensors.
        source (str): Where the state dict comes from, for the message.

    Raises:
        ValueError: If names are missing, unexpected or of another shape.
    """
    wanted = model.state_dict()
    shapes = [
        f'{key} {tuple(state[key].shape)} instead of '
        f'{tuple(wanted[key].shape)}'
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    fitting = {
        key: value
        for key, value in state.items()
        if key not in wanted or value.shape == wanted[key].shape
    }
    # Not compared by name alone: modules rename what older versions saved.
    missing, unexpected = model.load_state_dict(fitting, strict=False)
    missing = [
        key
        for key in missing
        if key not in state and not key.endswith('num_batches_tracked')
    ]
    problems = [
        f'{len(names)} {kind} ({", ".join(names[:3])}'
        f'{", ..." if len(names) > 3 else ""})'
        for kind, names in (
            ('missing', missing),
            ('unexpected', unexpected),
            ('of another shape', shapes),
        )
        if names
    ]
    if problems:
        raise ValueError(
            f"The teacher's checkpoint {source} does not fit its config: "
            f'{"; ".join(problems)} of {len(wanted)} entries. Give the '
            'config that this checkpoint was trained with.'
        )


def build_teacher(config, checkpoint: str) -> nn.Module:
    """Build a teacher: load it strictly, freeze it, put it in eval mode.

    Args:
        config (str | Path | dict | Config): See :func:`load_config`.
        checkpoint (str): See :func:`load_checkpoint`.

    Returns:
        nn.Module: The teacher on the CPU; no parameter requires a gradient.

    Raises:
        FileNotFoundError, TypeError, ValueError: As the functions above say.
    """
    cfg = load_config(config)
    # The student must see the same random numbers with a teacher or without.
    with (
        torch.random.fork_rng(devices=[]),
        DefaultScope.overwrite_default_scope(cfg.get('default_scope')),
    ):
        model = MODELS.build(cfg.model)
    load_strictly(model, load_checkpoint(checkpoint), checkpoint)
    return model.requires_grad_(False).eval()
