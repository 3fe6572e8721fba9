"""The curves of runs: metrics, losses and agreement over time."""

from math import isfinite

from .drawing import PAGE, STYLE, label_of, line_style, pyplot, save
from .limits import choose_limits, choose_share_limits
from .run_log import epoch_length, series

# Default metric to plot: the first of these that a run has.
METRICS = ('coco/bbox_mAP', 'pascal_voc/mAP', 'accuracy/top1')
# Ends of the names of what is logged in percent.
RATES = ('_agreement', '_teacher_acc', '_skipped')
# Part of the names of what is logged from 0 to 1.
GAP = '_gap_'
PER_ROW = 3
# Not 'teacher', which may be the name of a run.
TEACHER = 'the teacher'


def find_panels(runs, metrics=(), terms=None):
    """Choose what to plot.

    Args:
        runs (dict[str, list[dict]]): Records by run, see
            :func:`~mmkd_plugin.reports.run_log.read_records`.
        metrics (Collection[str]): Names of validation metrics; by default
            the first of :data:`METRICS` that a run has.
        terms (Collection[str], optional): Names of the losses to plot; None:
            all. They are all plotted, too, where nothing else was logged.

    Returns:
        list[str]: Names: the metrics, the losses, the rates, the gaps.
    """
    training, validation = {}, {}
    for records in runs.values():
        for record in records:
            names = training if 'iter' in record else validation
            names.update(dict.fromkeys(record))
    losses = [name for name in training if 'loss' in name]
    losses.sort(key=lambda name: name != 'loss')
    shown = [name for name in losses if terms is None or name in terms]
    rates = [name for name in training if name.endswith(RATES)]
    gaps = [name for name in training if GAP in name]
    found = [name for name in METRICS if name in validation][:1]
    return [*(metrics or found), *shown, *rates, *gaps] or losses


def points(records, name, in_epochs):
    """The points of one line of a panel.

    Args:
        records (list[dict]): Of one run.
        name (str): Name of a value.
        in_epochs (bool): Whether times are in epochs or in iterations.

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


def percent_scale(records):
    """What turns the rates of a run into percent.

    Args:
        records (list[dict]): Of one run.

    Returns:
        int: 100 for a log of an older version, with fractions: no rate is
        above 1; otherwise 1.
    """
    rates = [
        value
        for record in records
        for name, value in record.items()
        if name.endswith(RATES) and value == value
    ]
    return 1 if max(rates, default=0) > 1 else 100


def draw(paths, runs, metrics=(), teacher=None, terms=None):
    """Plot runs.

    Args:
        paths (list[Path]): Files to write.
        runs (dict[str, list[dict]]): Records by the name of the run.
        metrics, terms (Collection[str]): See :func:`find_panels`.
        teacher (dict[str, float], optional): The teacher's metrics.
    """
    plt = pyplot()
    panels = find_panels(runs, metrics, terms)
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
        # The first panel may be the only one with a line for the teacher.
        handles = {
            label: handle
            for axis in axes.flat
            for handle, label in zip(*axis.get_legend_handles_labels())
        }
        teacher_last = sorted(handles, key=lambda label: label == TEACHER)
        entries = [handles[label] for label in teacher_last], teacher_last
        if len(panels) < axes.size:
            axes.flat[len(panels)].legend(
                *entries, loc='center left', handlelength=4
            )
        else:
            figure.legend(
                *entries,
                loc='outside lower center',
                ncols=min(len(handles), 4),
                handlelength=4,
            )
        save(figure, paths)


def _draw_panel(axis, panel, runs, in_epochs, teacher):
    is_rate, is_gap, curves = panel.endswith(RATES), GAP in panel, []
    for index, (name, records) in enumerate(runs.items()):
        scale = percent_scale(records) if is_rate else 1
        times, values = points(records, panel, in_epochs)
        values = [scale * value for value in values]
        curves.append([value for value in values if isfinite(value)])
        axis.plot(
            times,
            values,
            **line_style(index, len(values)),
            markersize=3,
            label=label_of(name),
        )
    if panel in teacher:
        axis.axhline(
            teacher[panel], color='#555555', linestyle='--', label=TEACHER
        )
    axis.set_title(f'{panel} (%)' if is_rate else panel, loc='left')
    axis.set_xlim(left=0)
    if is_rate or is_gap:
        limits = choose_share_limits(curves, 100 if is_rate else 1)
        if limits:
            axis.set_ylim(*limits)
    elif 'loss' in panel:
        _limit(axis, curves)


def _limit(axis, curves):
    """Set the limits of a loss, and write what is outside of them."""
    from matplotlib.ticker import LogLocator

    limits = choose_limits(curves)
    if limits is None:
        return
    low, high, is_log = limits
    if is_log:
        axis.set_yscale('log', subs=())
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter('{x:g}')
    axis.set_ylim(low, high)
    every = [value for values in curves for value in values]
    outside = []
    if max(every) > high:
        outside.append(f'up to {max(every):.3g}')
    if min(every) < low:
        outside.append(f'down to {min(every):.3g}')
    if outside:
        axis.set_title(', '.join(outside), loc='right', size=6)
