"""The plan of a sweep: what is trained, in which order, with what settings.

A plan is a config file of these names:

    runs      what is compared, by name; each a dict of
                  config       path of a config, as for tools/train.py
                  cfg_options  optional, settings to change
                  seeds        optional, instead of the plan's
                  baseline     optional, instead of the plan's
    seeds     every run is trained once with each of them
    metric    what is compared: 'accuracy/top1', 'coco/bbox_mAP'
    baseline  optional, name of the run to which others are compared
    common    optional, settings to change in all runs

In the settings, '{runs.NAME}' stands for the last checkpoint of the run NAME,
which must have one seed, and is then trained first.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config

from mmkd_plugin.launch import build_parser, load_config

KEYS = ('runs', 'seeds', 'metric', 'baseline', 'common')
RUN_KEYS = ('config', 'cfg_options', 'seeds', 'baseline')
REFERENCE = re.compile(r'\{runs\.([^{}]+)\}')
WEIGHTS = ('.pth', '.pt', '.ckpt', '.safetensors')


class PlanError(ValueError):
    """What is wrong with a plan, in one sentence."""


@dataclass
class Run:
    """What is trained once with every seed: one row of the report."""

    name: str
    config: str
    cfg_options: dict
    seeds: list[int]
    baseline: str | None
    needs: list[str] = field(default_factory=list)

    def arguments(self, checkpoints):
        """The settings to change, as ``--cfg-options`` takes them.

        Args:
            checkpoints (dict[str, str]): Last checkpoints of other runs.

        Returns:
            list[str]: ``key=value`` for each.
        """
        return [
            REFERENCE.sub(
                lambda found: checkpoints[found[1]], f'{key}={_text(value)}'
            )
            for key, value in self.cfg_options.items()
        ]


@dataclass
class Plan:
    """What :func:`read_plan` returns."""

    metric: str
    runs: dict[str, Run]

    def order(self):
        """What is trained, the most urgent first.

        Runs that others need come first; then all runs of the first seed,
        all of the second, and so on.

        Returns:
            list[tuple[Run, int]]: Runs and seeds.
        """
        first = []

        def visit(run, path=()):
            if run.name in path:
                circle = ' -> '.join([*path, run.name])
                raise PlanError(
                    f'The runs {circle} need one another: start from one '
                    'that needs none.'
                )
            for name in run.needs:
                needed = self.runs[name]
                visit(needed, (*path, run.name))
                if needed not in first:
                    first.append(needed)

        for run in self.runs.values():
            visit(run)
        seeds = dict.fromkeys(
            seed for run in self.runs.values() for seed in run.seeds
        )
        return [(run, run.seeds[0]) for run in first] + [
            (run, seed)
            for seed in seeds
            for run in self.runs.values()
            if seed in run.seeds and run not in first
        ]


def read_plan(path):
    """Read and check a plan.

    Args:
        path (str): The config file, with the names of the docstring above.

    Returns:
        Plan: The plan.

    Raises:
        PlanError: If something is missing or does not fit.
    """
    if not Path(path).is_file():
        raise PlanError(f'The plan {path!r} was not found: give its path.')
    try:
        content = Config.fromfile(path).to_dict()
    except Exception as error:
        raise PlanError(
            f'The plan {path!r} could not be read ({type(error).__name__}: '
            f'{error}): correct it.'
        ) from error
    for key in content:
        # Other names may be variables of the plan.
        near = get_close_matches(key, KEYS, 1, 0.75)
        if near and key not in KEYS:
            raise PlanError(
                f'The plan {path!r} has {key!r}: did you mean {near[0]!r}?'
            )
    for key in ('runs', 'seeds', 'metric'):
        if not content.get(key):
            raise PlanError(f'The plan {path!r} needs {key!r}: add it.')
    runs = {}
    for name, entry in content['runs'].items():
        if not re.fullmatch(r'\w[\w.+-]*', name):
            raise PlanError(
                f'Expected letters, digits and any of _ . + - in the name of '
                f'a run, since it names a folder, but got {name!r}.'
            )
        if 'config' not in entry or not {*entry} <= {*RUN_KEYS}:
            raise PlanError(
                f'The run {name!r} must have config and may have '
                f'{", ".join(RUN_KEYS[1:])}, but has '
                f'{", ".join(entry) or "nothing"}.'
            )
        options = {
            **content.get('common', {}),
            **entry.get('cfg_options', {}),
        }
        run = Run(
            name,
            entry['config'],
            options,
            list(entry.get('seeds', content['seeds'])),
            entry.get('baseline', content.get('baseline')),
        )
        found = REFERENCE.findall(' '.join(map(_text, options.values())))
        run.needs = list(dict.fromkeys(found))
        runs[name] = run
    plan = Plan(content['metric'], runs)
    for run in runs.values():
        _check(run, runs)
    plan.order()
    return plan


def _check(run, runs):
    """Whether a run fits the others and the command line."""
    if run.baseline not in (None, *runs):
        raise PlanError(
            f'The baseline {run.baseline!r} of the run {run.name!r} is none '
            f'of the runs: choose one of {", ".join(runs)}.'
        )
    if len({*run.seeds}) != len(run.seeds) or not all(
        type(seed) is int and seed >= 0 for seed in run.seeds
    ):
        raise PlanError(
            'Expected different whole numbers as seeds of the run '
            f'{run.name!r} but got {run.seeds}.'
        )
    for name in run.needs:
        if name not in runs or len(runs[name].seeds) != 1:
            raise PlanError(
                f'The run {run.name!r} needs {{runs.{name}}}, which must be '
                'a run with one seed: give it seeds=[0].'
            )
    for key, value in run.cfg_options.items():
        if _parse([f'{key}={_text(value)}'])['cfg_options'] != {key: value}:
            raise PlanError(
                f'The run {run.name!r} cannot set {key} to {value!r} by '
                '--cfg-options, which takes numbers, words and lists of '
                'them: name a single setting (a.b.c), or put it into a '
                'config.'
            )


def settings_of(run, plan):
    """All that decides what a run gives, but its seed and the code.

    Args:
        run (Run): A run.
        plan (Plan): Its plan.

    Returns:
        dict: Plain JSON: the config with all changes, the hash of every
        file of weights that it names, and the settings of needed runs.

    Raises:
        PlanError: If the config cannot be read or an option does not fit.
    """
    names = {name: f'{{runs.{name}}}' for name in run.needs}
    try:
        cfg = load_config(_parse(run.arguments(names), run.config, True))
    except (ValueError, OSError) as error:
        raise PlanError(f'In the run {run.name!r}: {error}') from error
    config = cfg.to_dict()
    for key in ('work_dir', 'launcher'):
        config.pop(key)
    files = {
        text: _hash(text)
        for text in _strings(config)
        if text.endswith(WEIGHTS) and Path(text).is_file()
    }
    needs = {name: settings_of(plan.runs[name], plan) for name in run.needs}
    settings = dict(config=config, files=files, needs=needs)
    return json.loads(json.dumps(settings, default=str))


def first_difference(then, now, name=''):
    """Find where settings differ.

    Args:
        then: Dict, list or plain value.
        now: The same.
        name (str): Where these are.

    Returns:
        str | None: Place and both values, None if all is equal.
    """
    if isinstance(then, list) and isinstance(now, list):
        if len(then) != len(now):
            return f'{name} has {len(then)} items then, {len(now)} now'
        then, now = dict(enumerate(then)), dict(enumerate(now))
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            found = first_difference(
                then.get(key), now.get(key), f'{name}.{key}'.lstrip('.')
            )
            if found:
                return found
        return None
    return None if then == now else f'{name} was {then!r} and is {now!r}'


def _parse(options, config='', as_namespace=False):
    """What tools/train.py makes of options."""
    extra = ['--cfg-options', *options] if options else []
    args = build_parser('').parse_args([config, *extra])
    return args if as_namespace else vars(args)


def _text(value):
    """A value as ``--cfg-options`` takes it."""
    if isinstance(value, (list, tuple)):
        inner = ','.join(map(_text, value))
        return f'[{inner}]' if isinstance(value, list) else f'({inner},)'
    return str(value)


def _strings(value):
    """All strings in nested dicts and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _hash(path):
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
