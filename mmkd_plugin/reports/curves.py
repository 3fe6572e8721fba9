"""The curves of runs: losses, agreement and metrics over time."""

from .drawing import PAGE, PALETTE, STYLE, pyplot, save
from .run_log import epoch_length, series

# Default metric to plot: the first of these that a run has.
METRICS = ('coco/bbox_mAP', 'pascal_voc/mAP', 'accuracy/top1')
RATES = ('_agreement', '_teacher_acc', '_skipped')
PER_ROW = 3


def find_panels(runs, metrics=()):
    """Choose what to plot.

    Args:
        runs (dict[str, list[dict]]): Records by run, see
            :func:`~mmkd_plugin.reports.run_log.read_records`.
        metrics (Collection[str]): Names of validation metrics; by default
            the first of :data:`METRICS` that a run has.

    Returns:
        list[str]: Names: the total loss, its terms, the rates, the metrics.
    """
    training, validation = {}, {}
    for records in runs.values():
        for record in records:
            names = training if 'iter' in record else validation
            names.update(dict.fromkeys(record))
    losses = [name for name in training if 'loss' in name]
    losses.sort(key=lambda name: name != 'loss')
    rates = [name for name in training if name.endswith(RATES)]
    found = [name for name in METRICS if name in validation][:1]
    return losses + rates + list(metrics or found)


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
            # A line of one validation would be invisible.
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
    if panel.endswith(RATES):
        axis.set_ylim(-3, 103)  # percent
