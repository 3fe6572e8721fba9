"""The configs and the plan of a comparison of methods.

OUT/configs/student.py is the student alone, OUT/configs/METHOD.py the same
student with a teacher: each has the student's config as its base and writes
out what differs. OUT/plan.py is a plan of tools/sweep/sweep.py.
"""

import copy
import os
import shlex
from difflib import get_close_matches
from pathlib import Path
from pprint import pformat

from mmengine.config import Config
from short_schedule import squeeze
from sweep_plan import PlanError, text_of

from mmkd_plugin.checkpoints.atomic import write_text
from mmkd_plugin.cli.method_option import methods_folder, read_method

STUDENT = 'student'
# Data sets of classifiers whose fragments begin with their name.
DATA = ('cifar100', 'imagenet')


def data_of(cfg):
    """The data set whose fragments fit a student.

    Args:
        cfg (Config): The student.

    Returns:
        str: '' for a detector; for a classifier one of :data:`DATA`: that of
        the folder of the config, or 'cifar100' for a data set of that kind,
        or else 'imagenet'.
    """
    if cfg.model.get('type', '').split('.')[-1] != 'ImageClassifier':
        return ''
    folder = Path(cfg.filename).absolute().parent.name
    if folder in DATA:
        return folder
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return 'cifar100' if 'CIFAR' in str(dataset.get('type')) else 'imagenet'


def method_names(data):
    """Names of all methods of a data set, as of :func:`data_of`."""
    others = tuple(f'{name}_' for name in DATA if name != data)
    return sorted(
        {
            path.stem.removeprefix(f'{data}_')
            for path in methods_folder().glob('*.py')
            if not path.stem.startswith(others)
        }
    )


def check_methods(names, data):
    """Refuse methods that do not exist.

    Args:
        names (list[str]): As the user gave them.
        data (str): As of :func:`data_of`.

    Raises:
        PlanError: If one is unknown, or named twice.
    """
    known = method_names(data)
    task = f'classifiers ({data})' if data else 'detectors'
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 4, 0.5)
            hint = f'did you mean {" or ".join(near)}? ' if near else ''
            raise PlanError(
                f'There is no method {name!r} for {task}: {hint}known are '
                f'{", ".join(known)}.'
            )
    if len({*names}) < len(names):
        raise PlanError(f'A method is named twice in {" ".join(names)}.')


def contents_of(cfg, teacher, methods, epochs=None):
    """What the config of each run has beside the student's own.

    Args:
        cfg (Config): The student.
        teacher (dict): ``config`` and ``checkpoint``.
        methods (list[str]): Names of methods.
        epochs (int, optional): Epochs of every run; None: its own.

    Returns:
        dict[str, dict]: Of 'student' and of each method.

    Raises:
        PlanError: If the student has a teacher, or the schedule of a run
            does not fit into ``epochs``.
    """
    hooks = list(cfg.get('custom_hooks') or [])
    if any('teacher' in hook for hook in hooks):
        raise PlanError(
            f'The student {cfg.filename} has a teacher in `custom_hooks`: '
            'give the config of the student alone.'
        )
    data = data_of(cfg)
    pair = f'{Path(teacher["config"]).stem}_{Path(cfg.filename).stem}'
    found = {STUDENT: squeeze(cfg, epochs) if epochs else {}}
    for name in methods:
        method = read_method(name, data, pair)
        hook = dict(teacher=teacher, **method.pop('distill'))
        content = method.to_dict()
        whole = copy.deepcopy(cfg)
        whole.merge_from_dict(content)
        whole.custom_hooks = content['custom_hooks'] = [*hooks, hook]
        if epochs:
            content.update(squeeze(whole, epochs))
        found[name] = content
    return found


def epochs_of(cfg, contents):
    """How long runs train that do not train as long as the student.

    Args:
        cfg (Config): The student.
        contents (dict[str, dict]): As of :func:`contents_of`.

    Returns:
        dict[str, int]: Epochs by run, if they are not the student's.
    """
    own = cfg.train_cfg.get('max_epochs')
    found = {
        name: content.get('train_cfg', {}).get('max_epochs', own)
        for name, content in contents.items()
    }
    return {n: count for n, count in found.items() if count != found[STUDENT]}


def write_configs(out, student, contents, options):
    """Write the config of each run.

    Args:
        out (Path): The folder of the comparison, absolute.
        student (str): Path of the student's config.
        contents (dict[str, dict]): As of :func:`contents_of`.
        options (dict): Settings to change in all runs.

    Returns:
        dict[str, str]: Path of each config.
    """
    folder = out / 'configs'
    folder.mkdir(parents=True, exist_ok=True)
    base, paths = Path(student).resolve(), {}
    if is_here(base) and is_here(folder):
        base = os.path.relpath(base, folder)
    given = [f'{key}={text_of(value)}' for key, value in options.items()]
    given = ['--cfg-options', *given] if given else []
    for name, content in contents.items():
        path = folder / f'{name}.py'
        paths[name] = os.path.relpath(path) if is_here(path) else str(path)
        command = shlex.join(['tools/train.py', paths[name], *given])
        text = [
            f'# {name} of a comparison by tools/compare.py.',
            f'# Run: python {command}\n',
            f'_base_ = {str(base)!r}\n',
            Config(content).pretty_text if content else '',
        ]
        write_text(path, '\n'.join(text))
    return paths


def is_here(path):
    """Whether a path lies in the working directory."""
    return path.is_relative_to(Path.cwd())


def write_plan(out, paths, seeds, metric, options):
    """Write the plan of a comparison.

    Args:
        out (Path): The folder of the comparison.
        paths (dict[str, str]): As of :func:`write_configs`.
        seeds (list[int]): Seeds of every run.
        metric (str): What is compared.
        options (dict): Settings to change in all runs.

    Returns:
        Path: The plan.
    """
    plan = dict(
        runs={name: dict(config=path) for name, path in paths.items()},
        seeds=seeds,
        metric=metric,
        baseline=STUDENT,
        common=options,
    )
    # In this order, unlike that of Config.pretty_text.
    lines = [
        f'{k} = {pformat(v, sort_dicts=False)}\n' for k, v in plan.items()
    ]
    write_text(out / 'plan.py', ''.join(lines))
    return out / 'plan.py'
