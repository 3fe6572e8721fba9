"""The settings that a training depends on, and how they have changed."""

import json
from pathlib import Path

from sweep_plan import PlanError, parse

from mmkd_plugin.checkpoints.download import sha256_of
from mmkd_plugin.cli.launch import load_config

WEIGHTS = ('.pth', '.pt', '.ckpt', '.safetensors')


def settings_of(run, plan):
    """Everything that a run's result depends on, except seed and code.

    Args:
        run (Run): A run.
        plan (Plan): Its plan.

    Returns:
        dict: Plain JSON: the config with all changes, the hash of every
        weight file that it names, and the settings of the runs it needs.

    Raises:
        PlanError: If the config cannot be read or an option does not fit.
    """
    names = {name: f'{{runs.{name}}}' for name in run.needs}
    try:
        cfg = load_config(parse(run.config, run.arguments(names)))
    except (ValueError, OSError) as error:
        raise PlanError(f'In the run {run.name!r}: {error}') from error
    config = cfg.to_dict()
    for key in ('work_dir', 'launcher'):
        config.pop(key)
    files = {
        text: sha256_of(Path(text))
        for text in _strings(config)
        if text.endswith(WEIGHTS) and Path(text).is_file()
    }
    needs = {name: settings_of(plan.runs[name], plan) for name in run.needs}
    settings = dict(config=config, files=files, needs=needs)
    text = json.dumps(settings, default=str)
    # So that the checkout may be moved.
    return json.loads(text.replace(f'{Path.cwd()}/', ''))


def first_difference(then, now):
    """Find the first difference between two settings.

    Args:
        then: Dict, list or plain value.
        now: The same.

    Returns:
        str | None: Path and both values, None if they are equal.
    """
    for name, old, new in differences(then, now):
        if isinstance(old, list) and isinstance(new, list):
            return f'{name} has {len(old)} items then, {len(new)} now'
        return f'{name} was {old!r} and is {new!r}'
    return None


def differences(then, now, name=''):
    """Find all differences between two settings.

    Args:
        then: Dict, list or plain value.
        now: The same.
        name (str): Path of both within the settings.

    Yields:
        tuple[str, object, object]: Path and both values, None for what is
        missing; lists of unequal length are one difference.
    """
    if isinstance(then, list) and isinstance(now, list):
        if len(then) != len(now):
            yield name, then, now
            return
        then, now = dict(enumerate(then)), dict(enumerate(now))
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            inner = f'{name}.{key}'.lstrip('.')
            yield from differences(then.get(key), now.get(key), inner)
    elif then != now:
        yield name, then, now


def _strings(value):
    """All strings in nested dicts and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
