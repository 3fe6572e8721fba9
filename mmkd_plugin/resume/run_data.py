"""Use what a checkpoint says about its run as data, never as commands."""

import os

import numpy as np
import torch
from mmengine.hooks import CheckpointHook

from ..checkpoints.stand_in import brief, stand_ins
from ..exceptions import MMKDValueError

# Where objects of unknown classes do not affect the training.
FREE = ('meta', 'message_hub.runtime_info')
KINDS: dict = dict(
    meta=dict,
    message_hub=dict,
    optimizer=dict,
    param_schedulers=(list, dict),
    state_dict=dict,
    ema_state_dict=dict,
    exact_resume=dict,
)
HUB = ('log_scalars', 'runtime_info', 'resumed_keys')
NUMBERS = (int, float, np.number, torch.Tensor)
PARTS = (
    'exact_resume',
    'ema_state_dict',
    'message_hub',
    'optimizer',
    'param_schedulers',
    'state_dict',
)


def sanitize_run_data(runner, checkpoint: dict, source: object) -> None:
    """Refuse a checkpoint that cannot be resumed, and drop foreign file names.

    MMEngine removes the file or folder that a checkpoint names as the last
    best one. A name that is no checkpoint in the folder of this run is
    therefore dropped.

    Args:
        runner (Runner): The run to resume.
        checkpoint: Content of the file; changed in place.
        source: Its name, for the message.

    Raises:
        ValueError: If it has objects of unknown classes where the training
            needs values, or something else where it needs numbers.
    """
    for place, name in misplaced(checkpoint)[:1]:
        raise MMKDValueError(
            f'The checkpoint {source} cannot be resumed: its {place} is '
            f'an object of {name}, which is not known. Start from its '
            'weights with --cfg-options load_from=FILE, or give '
            '--trust-checkpoint if you know where it comes from.'
        )
    problem = _problem(checkpoint)
    if problem is not None:
        raise MMKDValueError(
            f'The checkpoint {source} cannot be resumed: its {brief(problem)} '
            'is not as MMEngine writes it. Start from its weights with '
            '--cfg-options load_from=FILE.'
        )
    info = checkpoint.get('message_hub', {}).get('runtime_info', {})
    folders = _folders(runner)
    for key in [k for k in info if _is_of(k, 'best_ckpt', 'last_ckpt')]:
        if not _is_inside(info[key], folders):
            del info[key]
    ids = info.get('keep_ckpt_ids', [])
    if not isinstance(ids, list) or any(type(n) is not int for n in ids):
        del info['keep_ckpt_ids']


def misplaced(checkpoint: dict) -> list[tuple[str, str]]:
    """Path and class of each stand-in where the training needs a value."""
    return [
        (place, name)
        for place, name in stand_ins({k: checkpoint.get(k) for k in PARTS})
        if not place.startswith(FREE)
    ]


def _problem(checkpoint: dict) -> str | None:
    """Name of a part whose type is not the one that MMEngine saves."""
    for key, kind in KINDS.items():
        if key in checkpoint and not isinstance(checkpoint[key], kind):
            return key
    for key, part in checkpoint.get('message_hub', {}).items():
        if key in HUB and not isinstance(part, dict):
            return key
    meta = checkpoint.get('meta', {})
    for key, end in (('epoch', 1 << 53), ('iter', 1 << 53), ('seed', 1 << 32)):
        value = meta.get(key, 0)
        if key == 'seed' and value is None:
            continue
        if type(value) is not int or not 0 <= value < end:
            return key
    info = checkpoint.get('message_hub', {}).get('runtime_info', {})
    for key, value in info.items():
        if _is_of(key, 'best_score') and not isinstance(value, NUMBERS):
            return key
    return None


def _is_of(key: object, *begins: str) -> bool:
    return isinstance(key, str) and key.startswith(begins)


def _folders(runner) -> set[str]:
    """The folders with checkpoints of this run."""
    folders = {os.path.realpath(runner.work_dir)}
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.out_dir:
            name = os.path.basename(runner.work_dir.rstrip(os.sep))
            folders.add(os.path.realpath(os.path.join(hook.out_dir, name)))
    return folders


def _is_inside(path: object, folders: set[str]) -> bool:
    return (
        isinstance(path, str)
        and path.endswith('.pth')
        and '\0' not in path
        and len(path) < 4096
        and not os.path.isdir(path)
        and os.path.realpath(os.path.dirname(path)) in folders
    )
