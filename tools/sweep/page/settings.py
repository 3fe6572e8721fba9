"""What a page says of how the runs were made, and how to make them again."""

import json
import re
import shlex
from importlib import metadata
from pathlib import Path

from sweep_settings import differences

ROOT = Path(__file__).resolve().parents[3]
# Of the head of MMEngine's log; the rest of it is about compilers.
SHOWN = re.compile(
    r'(Python|CUDA available|GPU [\d,]+|CUDA_HOME|NVCC|PyTorch|TorchVision'
    r'|OpenCV|MMEngine): '
)
# Distributions of both stacks.
PACKAGES = (
    'mmcv', 'mmdet', 'mmpretrain', 'mmengine', 'onedl-mmcv',
    'onedl-mmdetection', 'onedl-mmpretrain', 'onedl-mmengine',
)  # fmt: skip
MOST_DIFFERENCES = 40
LONGEST = 160


def environments(data):
    """The environments that the trainings ran in, as their logs tell.

    Args:
        data (Data): The sweep.

    Returns:
        dict[tuple[str, ...], list[str]]: By lines of the log, the trainings.
    """
    found = {}
    for name, by_seed in data.logs.items():
        for seed in by_seed:
            folder = data.plan.runs[name].folder(data.out, seed)
            # One of each start.
            logs = sorted(folder.glob('*/*.log'))
            lines = _environment(logs[0]) if logs else ()
            if lines:
                found.setdefault(lines, []).append(f'{name}, seed {seed}')
    return found


def _environment(log):
    """The lines of a log that name versions and devices."""
    head = log.read_text(errors='replace')[: 1 << 16]
    _, _, rest = head.partition('System environment:')
    text = rest.partition('Runtime environment:')[0]
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if SHOWN.match(line))


def packages():
    """Versions of OpenMMLab's packages here, where the page is written."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f'{name} {metadata.version(name)}')
        except metadata.PackageNotFoundError:
            continue
    return found


def make_settings(data):
    """Collect the settings of all runs.

    Args:
        data (Data): The sweep.

    Returns:
        list[dict]: For every run its ``name``, ``config``, ``options``,
        ``seeds``, ``commits``, ``teachers`` and ``differences`` to its
        baseline, see :func:`_differences`.
    """
    saved = {name: _saved(data, name) for name in data.plan.runs}
    return [
        dict(
            name=name,
            config=run.config,
            options=[f'{k}={v}' for k, v in run.cfg_options.items()],
            seeds=', '.join(map(str, run.seeds)),
            commits=data.rows[name]['commits'],
            teachers=_teachers(saved[name]),
            differences=_differences(saved.get(run.baseline), saved[name]),
        )
        for name, run in data.plan.runs.items()
    ]


def _saved(data, name):
    """The settings that a run was trained with, None if it was not begun."""
    run = data.plan.runs[name]
    for seed in run.seeds:
        path = run.folder(data.out, seed) / 'settings.json'
        if path.is_file():
            return json.loads(path.read_text())
    return None


def _teachers(saved):
    """Config, checkpoint and hash of every teacher."""
    found = []
    for hook in ((saved or {}).get('config') or {}).get('custom_hooks') or []:
        teachers = hook.get('teacher') or []
        for item in teachers if isinstance(teachers, list) else [teachers]:
            config, path = item.get('config'), str(item.get('checkpoint'))
            if isinstance(config, str):
                config = _shown(config)
            else:
                config = 'a model in the config'
            digest = saved['files'].get(path)
            found.append(dict(config=config, path=path, sha256=digest))
    return found


def _shown(path):
    """A path without what leads to the project."""
    path = Path(path).resolve()
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _differences(other, own):
    """How the config of a run differs from that of its baseline.

    Returns:
        list[str]: Lines such as 'optim_wrapper.lr: 0.1, baseline 0.2'.
    """
    if other is None or own is None or other is own:
        return []
    lines = [
        f'{name}: {_short(new)}, baseline {_short(old)}'
        for name, old, new in differences(other['config'], own['config'])
        if not name.startswith('filename')
    ]
    rest = len(lines) - MOST_DIFFERENCES
    if rest > 0:
        lines = [*lines[:MOST_DIFFERENCES], f'... and {rest} more']
    return lines


def _short(value):
    if value is None:
        return 'none'
    text = json.dumps(value)
    return text if len(text) <= LONGEST else f'{text[:LONGEST]} ...'


def make_commands(data):
    """The commands that train again what was compared.

    Args:
        data (Data): The sweep.

    Returns:
        dict: ``commit``, None unless all ran on one without changes;
        ``whole``, the command of the comparison, if it is known; and ``runs``,
        a command for every run that was begun, with its first seed.
    """
    commits = {c for row in data.rows.values() for c in row['commits']}
    commit = commits.pop() if len(commits) == 1 else None
    if commit and (commit.endswith('-dirty') or commit == 'None'):
        commit = None
    whole, path = None, data.out / 'compare.json'
    if path.is_file():
        whole = json.loads(path.read_text()).get('command')
    if isinstance(whole, list):
        whole = shlex.join(whole)
    runs = {}
    for name, run in data.plan.runs.items():
        for seed in run.seeds:
            path = run.folder(data.out, seed) / 'attempts.json'
            if path.is_file():
                command = json.loads(path.read_text())[0]['command']
                runs[name] = _command(command)
                break
    return dict(commit=commit, whole=whole, runs=runs)


def _command(words):
    """A command as one types it in the root of the project."""
    words = ['python', *map(str, words[1:])]
    words[1:] = [word.removeprefix(f'{ROOT}/') for word in words[1:]]
    for at, word in enumerate(words):
        if word.endswith('/tools/train.py'):
            words[at] = 'tools/train.py'
    return shlex.join(words)
