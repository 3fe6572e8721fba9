"""What a training is made of, in a few lines at the start of its log."""

import os
from contextlib import suppress
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop

from ..summary import as_lines, describe_model, pretrained


def summarize(runner) -> str:
    """Describe a training before it begins.

    Args:
        runner (Runner): Its data sets are built.

    Returns:
        str: A title and one line each on config, student, teachers, data,
        length and arithmetic.  What is distilled, the hooks log when the
        teachers are loaded.
    """
    cfg, model, name = runner.cfg, runner.model, runner.timestamp
    if is_model_wrapper(model):
        model = model.module
    rows = {
        'config': str(cfg.filename),
        'work dir': runner.work_dir,
        'log': f'{name}/{name}.log in it, with environment and config',
        'student': f'{describe_model(model)}, weights: {_weights(cfg)}',
        'teacher': _teachers(runner),
        'images': _images(runner),
        'length': _length(runner.train_loop),
        'precision': f'{_precision(cfg.optim_wrapper)} on {_device(model)}',
        'seed': f'{runner.seed}{", deterministic" * runner.deterministic}',
    }
    return as_lines('Training', rows)


def _weights(cfg) -> str:
    """Where the student's first weights come from."""
    if cfg.get('resume'):
        return cfg.get('load_from') or 'the last checkpoint of the work dir'
    if cfg.get('load_from'):
        return cfg.load_from
    return ', '.join(pretrained(cfg.model)) or 'random'


def _teachers(runner) -> str:
    """Config and checkpoint of each teacher."""
    found = [
        f'{_named(cfg["config"])}, weights: {cfg["checkpoint"]}'
        for hook in runner.hooks
        for cfg in getattr(hook, 'teacher_cfgs', ())
    ]
    return '; '.join(found) or 'none, no hook in `custom_hooks` distils'


def _named(config) -> str:
    """A teacher's config, a path without the way through its bases."""
    if isinstance(config, dict):
        return 'a dict'
    if not isinstance(config, str) or '::' in config:
        return str(config)
    return os.path.relpath(config)


def _images(runner) -> str:
    """Number of images of each split."""
    train = f'{_size(runner.train_loop)} to train on'
    if runner.val_loop is None:
        return f'{train}, no validation'
    return f'{train}, {_size(runner.val_loop)} to validate on'


def _size(loop) -> str:
    """Number of images of a loop, which may be one of a user."""
    try:
        return str(len(loop.dataloader.dataset))
    except (AttributeError, TypeError):
        return 'an unknown number'


def _length(loop) -> str:
    """Size of a batch, number of steps and epochs, as far as known."""
    loader: Any = getattr(loop, 'dataloader', None)
    ranks = get_world_size()
    batches = getattr(loader, 'batch_sampler', None)
    size = getattr(batches, 'batch_size', getattr(loader, 'batch_size', '?'))
    parts = [f'batches of {size}{f" on each of {ranks} ranks" * (ranks > 1)}']
    if isinstance(loop, IterBasedTrainLoop):
        return f'{parts[0]}, {loop.max_iters} steps'
    with suppress(TypeError):  # a stream
        parts.append(f'{len(loader)} steps per epoch')
    epochs = getattr(loop, 'max_epochs', '?')
    parts.append(f'{epochs} epoch{"s" * (epochs != 1)}')
    return ', '.join(parts)


def _precision(cfg) -> str:
    """Type of the optimizer's wrapper, which decides on the arithmetic."""
    kind = cfg.get('type') or 'OptimWrapper'
    name = kind if isinstance(kind, str) else kind.__name__
    if name == 'OptimWrapper':
        return 'float32'
    dtype = f' in {cfg["dtype"]}' if cfg.get('dtype') else ''
    return f'{name}{dtype}'


def _device(model) -> str:
    """Where the student is."""
    device = next(model.parameters(), torch.empty(0)).device
    if device.type != 'cuda':
        return str(device)
    return f'{device}, {torch.cuda.get_device_name(device)}'
