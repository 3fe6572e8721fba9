"""The plan of a sweep: what is trained, in which order, with what settings.

A plan is a config file of these names:

    runs      what is compared, by name; each a dict of
                  config       path of a config, as for tools/train.py
                  cfg_options  optional, settings to change
                  seeds        optional, instead of the plan's
                  baseline     optional, instead of the plan's
                  controls     optional, names of runs that a gain must exceed
    seeds     every run is trained once with each of them
    metric    what is compared: 'accuracy/top1', 'coco/bbox_mAP'
    baseline  optional, name of the run that others are compared with
    common    optional, settings to change in all runs

In the settings, '{runs.NAME}' stands for the last checkpoint of the run NAME,
which must have one seed; it is then trained first, as a teacher for example:

    cfg_options={'custom_hooks.0.teacher.checkpoint': '{runs.NAME}'}
"""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config

from mmkd_plugin.cli.launch import build_parser

KEYS = ('runs', 'seeds', 'metric', 'baseline', 'common')
RUN_KEYS = ('config', 'cfg_options', 'seeds', 'baseline', 'controls')
REFERENCE = re.compile(r'\{runs\.([^{}]+)\}')


class PlanError(ValueError):
    """What is wrong with a plan, in one sentence."""


@dataclass
class Run:
    """What is trained once per seed: one row of the report."""

    name: str
    config: str
    cfg_options: dict
    seeds: list[int]
    baseline: str | None
    controls: list[str] = field(default_factory=list)

    @property
    def needs(self):
        """Names of the runs whose checkpoints the settings name."""
        found = REFERENCE.findall(text_of([*self.cfg_options.values()]))
        return list(dict.fromkeys(found))

    def folder(self, out, seed):
        """The folder of one of its trainings, in the folder of a sweep."""
        return Path(out, self.name, f'seed_{seed}')

    def arguments(self, checkpoints):
        """The settings to change, as ``--cfg-options`` takes them.

        Args:
            checkpoints (dict[str, str]): Last checkpoints of other runs.

        Returns:
            list[str]: ``key=value`` for each.
        """
        return [
            REFERENCE.sub(
                lambda found: checkpoints[found[1]], f'{key}={text_of(value)}'
            )
            for key, value in self.cfg_options.items()
        ]


@dataclass
class Plan:
    """What :func:`read_plan` returns."""

    metric: str
    runs: dict[str, Run]

    def order(self):
        """The trainings in the order in which they are started.

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
    for key in {*content} - {*KEYS}:
        # It may as well be a variable of the plan.
        near = get_close_matches(key, KEYS, 1, 0.75)
        if near:
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
        common, own = content.get('common', {}), entry.get('cfg_options', {})
        options = {**common, **own}
        runs[name] = Run(
            name,
            entry['config'],
            options,
            list(entry.get('seeds', content['seeds'])),
            entry.get('baseline', content.get('baseline')),
            entry.get('controls', []),
        )
    plan = Plan(content['metric'], runs)
    for run in runs.values():
        _check(run, runs)
    plan.order()
    return plan


def _check(run, runs):
    """Check that a run fits the others and the command line."""
    if run.baseline not in (None, *runs):
        raise PlanError(
            f'The baseline {run.baseline!r} of the run {run.name!r} is none '
            f'of the runs: choose one of {", ".join(runs)}.'
        )
    others = [name for name in runs if name != run.name]
    if not isinstance(run.controls, (list, tuple)) or not all(
        name in others for name in run.controls
    ):
        raise PlanError(
            f'Expected `controls` of the run {run.name!r} to be a list of '
            f'other runs ({", ".join(others) or "there are none"}) but got '
            f'{run.controls!r}.'
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
                'a run of the plan with one seed: seeds=[0].'
            )
    for key, value in run.cfg_options.items():
        if not _can_be_given(key, value):
            raise PlanError(
                f'The run {run.name!r} cannot set {key} to {value!r} by '
                '--cfg-options, which takes numbers, words and lists of '
                'them: name a single setting (a.b.c), or put it into a '
                'config.'
            )


def parse(config, options):
    """Parse a config and its options as tools/train.py does."""
    extra = ['--cfg-options', *options] if options else []
    return build_parser('').parse_args([config, *extra])


def _can_be_given(key, value):
    """Whether a setting reaches tools/train.py unchanged."""
    try:
        args = parse('', [f'{key}={text_of(value)}'])
    except SystemExit:  # unbalanced brackets
        return False
    return args.cfg_options == {key: value}


def text_of(value):
    """A value as ``--cfg-options`` takes it."""
    if isinstance(value, (list, tuple)):
        inner = ','.join(map(text_of, value))
        return f'[{inner}]' if isinstance(value, list) else f'({inner},)'
    return str(value)
