#!/usr/bin/env python
"""Plot the logs of runs: metrics, distillation losses, agreement.

    python tools/analysis_tools/plot_run.py WORK_DIR [WORK_DIR ...] \\
        --out run.png run.pdf

A panel per metric, per loss of the distillation, and for agreement, teacher
accuracy and gap as the distillation hook logs them; one line per run. The
model's own losses and the total are added by --losses. Runs may still be in
progress.
"""

import argparse
import json
from pathlib import Path

from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.exceptions import MMKDFileNotFoundError, MMKDValueError
from mmkd_plugin.reports.curves import METRICS, draw, find_panels
from mmkd_plugin.reports.run_log import read_records
from mmkd_plugin.reports.run_terms import read_terms

FORMATS = ('.png', '.pdf', '.svg')


def short_names(folders):
    """Name runs by the parts in which their paths differ.

    Args:
        folders (list[Path]): Work directories.

    Returns:
        list[str]: A name for each.
    """
    parts = [folder.absolute().parts for folder in folders]
    if len(set(parts)) == 1:
        return [parts[0][-1]] * len(parts)
    for end in (0, -1):
        while len({part[end : end + 1 or None] for part in parts}) == 1:
            parts = [part[1:] if end == 0 else part[:-1] for part in parts]
    # One folder may be in another.
    if not all(parts):
        return [str(folder) for folder in folders]
    return ['/'.join(part) for part in parts]


def read_teacher(folders):
    """Metrics of the teacher, as `evaluate_teacher=True` saves them.

    Args:
        folders (list[Path]): Work directories.

    Returns:
        dict[str, float]: Those with one value in all folders that have them.
    """
    values = {}
    for folder in folders:
        path = folder / 'teacher_metrics.json'
        if path.is_file():
            for metrics in json.loads(path.read_text()).values():
                for name, value in metrics.items():
                    values.setdefault(name, set()).add(value)
    return {name: min(v) for name, v in values.items() if len(v) == 1}


def choose_terms(folders):
    """The losses of the distillation.

    Args:
        folders (list[Path]): Work directories.

    Returns:
        set[str] | None: Names in the logs; None if those of a run are not
        known.
    """
    found = [read_terms(folder) for folder in folders]
    return None if None in found else set().union(*found)


def picture(text):
    """A path with the suffix of a known format."""
    path = Path(text)
    if path.suffix not in FORMATS:
        raise argparse.ArgumentTypeError(
            f'{text!r} does not end in {", ".join(FORMATS)}'
        )
    return path


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        'runs',
        type=Path,
        nargs='+',
        metavar='WORK_DIR',
        help='work directory of each run',
    )
    parser.add_argument(
        '--out',
        type=picture,
        nargs='+',
        required=True,
        metavar='FILE',
        help=f'files to write, ending in {", ".join(FORMATS)}',
    )
    parser.add_argument(
        '--names', nargs='+', help='names of the runs, for the legend'
    )
    parser.add_argument(
        '--metrics',
        nargs='+',
        default=(),
        metavar='NAME',
        help='validation metrics to plot (default: the first of '
        f'{", ".join(METRICS)} that was logged)',
    )
    parser.add_argument(
        '--losses',
        action='store_true',
        help="also plot the total loss and the model's own losses",
    )
    args = parser.parse_args()
    args.names = args.names or short_names(args.runs)
    if len(set(args.names)) != len(args.runs):
        parser.error(
            f'expected {len(args.runs)} different --names but got '
            f'{", ".join(args.names)}'
        )
    return args


@explain_errors()
def main():
    args = parse_args()
    runs = {}
    for name, folder in zip(args.names, args.runs):
        runs[name] = read_records(folder)
        if not runs[name]:
            raise MMKDFileNotFoundError(
                f'{folder} holds no log */vis_data/scalars.json: give '
                'the work directory of a run.'
            )
    names = {
        name
        for records in runs.values()
        for record in records
        if 'iter' not in record
        for name in record
    }
    for metric in args.metrics:
        if not any(metric in record for r in runs.values() for record in r):
            raise MMKDValueError(
                f'No run has logged the metric {metric!r}: give one '
                f'of {", ".join(sorted(names - {"step"}))}.'
            )
    if not find_panels(runs, args.metrics):
        raise MMKDValueError(
            f'No run has logged a loss or one of {", ".join(METRICS)}: give '
            f'--metrics of {", ".join(sorted(names - {"step"}))}.'
        )
    terms = None if args.losses else choose_terms(args.runs)
    draw(args.out, runs, args.metrics, read_teacher(args.runs), terms)


if __name__ == '__main__':
    main()
