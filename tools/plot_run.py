#!/usr/bin/env python
"""Plot what runs have logged: losses, agreement with the teacher, metric.

    python tools/plot_run.py WORK_DIR [WORK_DIR ...] --out run.png run.pdf

One panel for each term of the loss, for the shares that the distillation hook
logs, and for the metric; one line for each run. Runs may be at work.
"""

import argparse
import json
from pathlib import Path

from drawing import PAGE, PALETTE, STYLE, pyplot, save
from run_log import epoch_length, read_records, series

from mmkd_plugin.errors import explain_errors
from mmkd_plugin.exceptions import MMKDFileNotFoundError, MMKDValueError

FORMATS = ('.png', '.pdf', '.svg')
# What is plotted if nothing is asked for: the first that was validated.
METRICS = ('coco/bbox_mAP', 'pascal_voc/mAP', 'accuracy/top1')
SHARES = ('_agreement', '_teacher_acc', '_skipped')
PER_ROW = 3


def find_panels(runs, metrics=()):
    """Choose what to plot.

    Args:
        runs (dict[str, list[dict]]): Records by run, as of
            :func:`~run_log.read_records`.
        metrics (Collection[str]): Names of validation metrics; by default
            the first of :data:`METRICS` that a run has.

    Returns:
        list[str]: Names: the total loss, its terms, the shares, the metrics.
    """
    training, validation = {}, {}
    for records in runs.values():
        for record in records:
            seen = training if 'iter' in record else validation
            seen.update(dict.fromkeys(record))
    losses = [name for name in training if 'loss' in name]
    losses.sort(key=lambda name: name != 'loss')
    shares = [name for name in training if name.endswith(SHARES)]
    found = [name for name in METRICS if name in validation][:1]
    return losses + shares + list(metrics or found)


def points(records, name, in_epochs):
    """One line of a panel.

    Args:
        records (list[dict]): Of one run.
        name (str): Name of a value.
        in_epochs (bool): Whether to measure time in epochs; in iterations
            otherwise.

    Returns:
        tuple[list[float], list[float]]: Times and values.
    """
    values = series(records, name)
    length = epoch_length(records) or 1
    is_training = any(name in r and 'iter' in r for r in records)
    if is_training:
        scale = 1 / length if in_epochs else 1
    else:
        scale = 1 if in_epochs else length
    return [step * scale for step in values], list(values.values())


def draw(paths, runs, metrics=(), teacher=None):
    """Plot runs.

    Args:
        paths (list[Path]): Files to write.
        runs (dict[str, list[dict]]): Records by the name of the run.
        metrics (Collection[str]): See :func:`find_panels`.
        teacher (dict[str, float], optional): The teacher's metrics.
    """
    plt = pyplot()
    panels = find_panels(runs, metrics)
    in_epochs = all(epoch_length(records) for records in runs.values())
    columns = min(PER_ROW, len(panels))
    rows = -(-len(panels) // columns)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows,
            columns,
            squeeze=False,
            figsize=(PAGE * columns / PER_ROW, 1.45 * rows + 0.2),
            layout='constrained',
        )
        for axis, panel in zip(axes.flat, panels):
            _draw_panel(axis, panel, runs, in_epochs, teacher or {})
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for axis in axes.flat[max(len(panels) - columns, 0) : len(panels)]:
            axis.set_xlabel('epoch' if in_epochs else 'iteration')
        # The last panel may be the only one with a line for the teacher.
        handles = {
            label: handle
            for axis in axes.flat
            for handle, label in zip(*axis.get_legend_handles_labels())
        }
        if len(panels) < axes.size:
            axes.flat[len(panels)].legend(
                handles.values(), handles.keys(), loc='center left'
            )
        else:
            figure.legend(
                handles.values(),
                handles.keys(),
                loc='outside lower center',
                ncols=min(len(handles), 4),
            )
        save(figure, paths)


def _draw_panel(axis, panel, runs, in_epochs, teacher):
    for index, (name, records) in enumerate(runs.items()):
        times, values = points(records, panel, in_epochs)
        axis.plot(
            times,
            values,
            color=PALETTE[index % len(PALETTE)],
            # A line of one validation would not be seen.
            marker='o' if len(values) < 12 else None,
            markersize=2.5,
            label=name,
        )
    if panel in teacher:
        axis.axhline(
            teacher[panel],
            color='#555555',
            linestyle='--',
            label='teacher',
        )
    axis.set_title(panel, loc='left')
    axis.set_xlim(left=0)
    if panel.endswith(SHARES):
        axis.set_ylim(-0.03, 1.03)


def short_names(folders):
    """Name runs by the parts of their paths in which they differ.

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
    """Metrics of the teacher, as `check=True` of the hook leaves them.

    Args:
        folders (list[Path]): Work directories.

    Returns:
        dict[str, float]: Those that are the same wherever they are known.
    """
    values = {}
    for folder in folders:
        path = folder / 'teacher_metrics.json'
        if path.is_file():
            for metrics in json.loads(path.read_text()).values():
                for name, value in metrics.items():
                    values.setdefault(name, set()).add(value)
    return {name: min(v) for name, v in values.items() if len(v) == 1}


def picture(text):
    """A path of a format that can be written."""
    path = Path(text)
    if path.suffix not in FORMATS:
        raise argparse.ArgumentTypeError(
            f'{text!r} does not end in {", ".join(FORMATS)}'
        )
    return path


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        'runs', type=Path, nargs='+', metavar='WORK_DIR', help='of each run'
    )
    parser.add_argument(
        '--out',
        type=picture,
        nargs='+',
        required=True,
        metavar='FILE',
        help=f'files to write, of {", ".join(FORMATS)}',
    )
    parser.add_argument(
        '--names', nargs='+', help='of the runs, for the legend'
    )
    parser.add_argument(
        '--metrics',
        nargs='+',
        default=(),
        metavar='NAME',
        help=f'what to plot of the validations; the first of '
        f'{", ".join(METRICS)} that there is by default',
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
    for metric in args.metrics:
        if not any(metric in record for r in runs.values() for record in r):
            names = {
                name
                for records in runs.values()
                for record in records
                if 'iter' not in record
                for name in record
            }
            raise MMKDValueError(
                f'No run has logged the metric {metric!r}: give one '
                f'of {", ".join(sorted(names - {"step"}))}.'
            )
    draw(args.out, runs, args.metrics, read_teacher(args.runs))


if __name__ == '__main__':
    main()
