"""The comment at the top of a config: its data set and its result."""

import re
from pathlib import Path
from typing import NamedTuple

from metafile import METRICS

ROOT = Path(__file__).resolve().parents[2]
# Name of a metric in the comment of a config -> its name in the logs.
NAMES = {'mAP': 'coco/bbox_mAP', 'top-1': 'accuracy/top1'}
FIGURE = rf'({"|".join(NAMES)}) (\d+\.\d+)'
OVER_SEEDS = re.compile(
    rf'{FIGURE} \+- [\d.]+ over seeds ([\d, to]+?)'
    r'(?:, where the student alone has (?P<Student>[\d.]+) \+- [\d.]+'
    r'(?: and the teacher (?P<Teacher>[\d.]+))?)? '
    r'\((?P<command>tools/[^)]+)\)\.'
)


class Head(NamedTuple):
    """What the comment at the top of a config says.

    Attributes:
        data (str): Name of the data set, the title of its page.
        result (str): What follows `Result:`, in one line.
    """

    data: str
    result: str


def read_head(config):
    """Read the comment at the top of a config.

    Args:
        config (str): Path of the config, relative to the project.

    Returns:
        Head: Its content.

    Raises:
        SystemExit: If its page or its result is missing.
    """
    comment = re.match(r'(#.*\n)*', (ROOT / config).read_text())[0]
    text = ' '.join(line[1:].strip() for line in comment.splitlines())
    found = re.search(r' Prepare: (docs/datasets/\w+\.md) Result: (.+)', text)
    if found is None or not (ROOT / found[1]).is_file():
        raise SystemExit(
            f'error: expected the first lines of {config} to end with '
            '`# Prepare: docs/datasets/NAME.md`, a page that exists, and '
            '`# Result: ...`: add them.'
        )
    title = (ROOT / found[1]).read_text().split('\n', 1)[0]
    return Head(title.removeprefix('# '), found[2])


def read_metric(config):
    """Read the figure at the beginning of a config's result.

    Args:
        config (str): Path of the config, relative to the project.

    Returns:
        tuple[str, dict]: The task, and one metric in the format of an index.

    Raises:
        SystemExit: If the result does not begin with a figure.
    """
    result = read_head(config).result
    found = re.match(FIGURE, result)
    if found is None:
        raise SystemExit(
            f'error: expected the result of {config} to begin with '
            f'{" or ".join(NAMES)} and a figure but got {result!r}: measure '
            'it before what is compared with it.'
        )
    task, label, factor = METRICS[NAMES[found[1]]]
    return task, {label: round(float(found[2]) * factor, 2)}


def read_runs(config):
    """Read how many seeds a config's result is from, and its command.

    Args:
        config (str): Path of the config, relative to the project.

    Returns:
        dict | None: `Seeds` and `Command`, and the figures of `Student` and
        `Teacher` in the same runs, where it has them; None if it was not
        measured.

    Raises:
        SystemExit: If the result is of neither form.
    """
    result = read_head(config).result
    if result.startswith('not measured'):
        return None
    found = OVER_SEEDS.fullmatch(result)
    if found is None:
        raise SystemExit(
            f'error: expected the result of {config} to be `not measured yet.'
            '` or like `mAP 0.455 +- 0.013 over seeds 0 to 4 (tools/...).` '
            f'but got {result!r}: write it that way.'
        )
    seeds = [int(seed) for seed in re.findall(r'\d+', found[3])]
    if 'to' in found[3]:
        seeds = range(seeds[0], seeds[-1] + 1)
    beside = {
        role: round(float(found[role]) * METRICS[NAMES[found[1]]][2], 2)
        for role in ('Student', 'Teacher')
        if found[role]
    }
    command = f'python {found["command"]}'
    return dict(Seeds=len(seeds), Command=command, **beside)
