#!/usr/bin/env python
"""Write model-index.yml, which mim reads, and the results on method pages.

    python tools/model_converters/make_model_index.py

Nothing of it is written by hand. Method and teacher come from the hook of a
config, epochs from its loop; the comment at its top names the page of its data
set and its result. The page of a method, docs/methods/NAME.md for
mmkd_plugin/losses/NAME.py, begins with the name and the paper. CrossKD and
DETRDistill are what taps do, and have pages too.
"""

import argparse
import re
from collections import Counter
from pathlib import Path

import yaml
from config_heads import ROOT, read_head, read_metric, read_runs
from mmengine.config import Config
from mmengine.registry import HOOKS

import mmkd_plugin  # noqa: F401
from mmkd_plugin.cli.progress import track

INDEX = 'model-index.yml'
PAGES = 'docs/methods'
TOOL = Path(__file__).resolve().relative_to(ROOT)
NOTE = f'Written by {TOOL}.'
RESULTS = '## Results'


def read_collections():
    """Read the methods from the first lines of their pages.

    Returns:
        dict[str, dict]: Name of the page -> one of the `Collections` of an
        index.

    Raises:
        SystemExit: If a page does not begin with name and paper.
    """
    collections = {}
    for page in sorted(ROOT.glob(f'{PAGES}/[!R]*.md')):
        found = re.match(
            r'# (.+)\n\n> \[(.+)\]\((https://\S+)\)\n\n', page.read_text()
        )
        if found is None:
            raise SystemExit(
                f'error: expected {page} to begin with `# NAME`, an empty '
                'line and `> [TITLE](URL of the paper)`: write it that way.'
            )
        name, title, url = found.groups()
        collections[page.stem] = dict(
            Name=name,
            Metadata={'Training Techniques': ['Knowledge Distillation']},
            Paper=dict(URL=url, Title=title),
            README=str(page.relative_to(ROOT)),
        )
    return collections


def student_of(config):
    """Find the base of a distillation config that trains the student alone.

    Args:
        config (str): Path of the config, relative to the project.

    Returns:
        str: The first base in the same folder that has no `custom_hooks`.

    Raises:
        SystemExit: If there is none.
    """
    path = ROOT / config
    while base := re.search(r"'\./([^']+\.py)'", path.read_text()):
        path = path.parent / base[1]
        if 'custom_hooks' not in path.read_text():
            return str(path.relative_to(ROOT))
    raise SystemExit(
        f'error: expected {config} to be based on the config of its student '
        'alone but found none in its folder: put that first into `_base_`.'
    )


def methods_of(distiller):
    """The methods of a hook, each once.

    Args:
        distiller (Distiller): That of the hook.

    Returns:
        list[str]: Of each term the module of its loss, or the method of its
        tap.
    """
    return list(
        dict.fromkeys(
            method_of_tap(tap) or type(loss).__module__.rpartition('.')[2]
            for loss, tap in distiller.terms.values()
        )
    )


def method_of_tap(tap):
    """The method that a tap stands for, whatever its loss.

    Args:
        tap (object): That of a term.

    Returns:
        str: The name of its page; empty if the loss is the method.
    """
    crossed = getattr(tap, 'crossed', False)
    if type(tap).__name__.startswith('DETR'):
        return 'crosskd_detr' if crossed else 'detrdistill'
    return 'crosskd' if crossed else ''


def make_models(collections):
    """Make an entry for every config that distils.

    Args:
        collections (dict): As of :func:`read_collections`.

    Returns:
        list[tuple[dict, list[str]]]: For each, one of the `Models` of an
        index, and the methods that it trains with.

    Raises:
        SystemExit: If a method has no page.
    """
    paths = [
        path
        for path in sorted(ROOT.glob('configs/**/*.py'))
        if '_base_' not in path.parts
    ]
    models = []
    for path in track(paths, 'reading configs'):
        cfg = Config.fromfile(path, import_custom_modules=False)
        hooks = [h for h in cfg.get('custom_hooks', []) if 'teacher' in h]
        if not hooks:
            continue
        methods = methods_of(HOOKS.build(hooks[0]).distiller)
        for method in methods:
            if method not in collections:
                raise SystemExit(
                    f'error: {path} distils by {method}, which has no page: '
                    f'add {PAGES}/{method}.md.'
                )
        config = str(path.relative_to(ROOT))
        data = read_head(config).data
        metadata = {'Training Data': data, 'Epochs': cfg.train_cfg.max_epochs}
        model = {
            'Name': path.stem.lower(),
            'In Collection': collections[methods[0]]['Name'],
            'Config': config,
            'Metadata': metadata,
        }
        runs = read_runs(config)
        if runs:
            teacher = Path(hooks[0].teacher.config).resolve()
            task, metrics = read_metric(config)
            (label,) = metrics
            metadata.update(runs)
            for role, other in (
                ('Student', student_of(config)),
                ('Teacher', str(teacher.relative_to(ROOT))),
            ):
                # In the same runs, else of its own.
                figure = runs.get(role) or read_metric(other)[1][label]
                metadata[role] = {'Config': other, label: figure}
            model['Results'] = [dict(Task=task, Dataset=data, Metrics=metrics)]
        models.append((model, methods))
    # mim finds a config by its file name, which several folders use.
    names = Counter(model['Name'] for model, _ in models)
    paths = [Path(model['Config']) for model, _ in models]
    alike = {path.parent for path in paths if names[path.stem.lower()] > 1}
    for (model, _), path in zip(models, paths, strict=True):
        if path.parent in alike:
            model['Name'] += f'_{path.parent.name}'
    return models


def results_section(name, models, names):
    """Format the results of one method as Markdown.

    Args:
        name (str): Name of the method.
        models (list[tuple]): As of :func:`make_models`, those of the method.
        names (dict[str, str]): Name of the page -> name of its method.

    Returns:
        str: The section under `## Results`.
    """
    lines, commands, rest = [], [], {}
    for model, methods in models:
        metadata = model['Metadata']
        data = metadata['Training Data']
        if 'Results' not in model:
            rest[data] = rest.get(data, 0) + 1
            continue
        others = ' and '.join(names[method] for method in methods[1:])
        ((label, value),) = model['Results'][0]['Metrics'].items()
        cells = [
            f'{data}, {label}' + (f', with {others}' if others else ''),
            *(str(metadata[role][label]) for role in ('Teacher', 'Student')),
            str(value),
            str(metadata['Seeds']),
            f'[config](../../{model["Config"]})',
        ]
        lines.append(f'| {" | ".join(cells)} |\n')
        if metadata['Command'] not in commands:
            commands.append(metadata['Command'])
    text = f'{RESULTS}\n\n<!-- {NOTE} -->\n\n'
    if lines:
        text += (
            'Means over seeds after the last epoch; [Evidence]'
            '(../evidence.md) has the spread\nand a control.\n\n'
            f'| | teacher | student alone | student with {name} | seeds | |\n'
            '|---|--:|--:|--:|--:|---|\n' + ''.join(lines) + '\n'
            '```bash\n' + '\n'.join(commands) + '\n```\n\n'
        )
    counts = [f'{data} ({count})' for data, count in sorted(rest.items())]
    if counts:
        text += f'Configs not measured yet: {", ".join(counts)}.\n'
    elif not lines:
        text += 'No config yet.\n'
    return text


def make_files():
    """Generate all files.

    Returns:
        dict[str, str]: Path, relative to the project -> content.
    """
    collections = read_collections()
    names = {method: each['Name'] for method, each in collections.items()}
    models = make_models(collections)
    index = dict(
        Collections=list(collections.values()),
        Models=[model for model, _ in models],
    )
    text = yaml.safe_dump(index, sort_keys=False, allow_unicode=True)
    files = {INDEX: f'# {NOTE}\n{text}'}
    listed = ''.join(
        f'* [{each["Name"]}]({method}.md): {each["Paper"]["Title"]}\n'
        for method, each in collections.items()
    )
    files[f'{PAGES}/README.md'] = (
        f'# Methods\n\n<!-- {NOTE} -->\n\nWhat each computes, its entry for '
        f'`custom_hooks`, and what was measured:\n\n{listed}'
    )
    for method, collection in collections.items():
        own = [each for each in models if each[1][0] == method]
        section = results_section(collection['Name'], own, names)
        page = (ROOT / collection['README']).read_text()
        before, found, after = page.partition(f'{RESULTS}\n')
        _, heading, rest = after.partition('\n## ')
        files[collection['README']] = (
            before.rstrip('\n') + f'\n\n{section.rstrip()}\n'
        ) + (f'\n## {rest}' if heading else '')
    return files


def main():
    argparse.ArgumentParser(description=__doc__.split('\n')[0]).parse_args()
    for name, text in make_files().items():
        (ROOT / name).write_text(text)
        print(name)


if __name__ == '__main__':
    main()
