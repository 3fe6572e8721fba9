"""The figure of a sweep."""

from mmkd_plugin.reports.drawing import pyplot


def draw(path, rows, metric):
    """Write the figure, if there is anything to compare.

    Args:
        path (Path): The file to write; its suffix decides the format.
        rows (dict[str, dict]): As :func:`collect` returns them.
        metric (str): Name of the metric.
    """
    figure = make_figure(rows, metric)
    if figure is not None:
        figure.savefig(path, dpi=200)
        pyplot().close(figure)


def make_figure(rows, metric, width=6):
    """Plot the paired differences, a panel per baseline.

    Args:
        rows (dict[str, dict]): As :func:`collect` returns them.
        metric (str): Name of the metric.
        width (float): Inches.

    Returns:
        Figure | None: None without any difference.
    """
    panels = {}
    for name, row in rows.items():
        if row['difference']:
            gain = row['difference']
            panels.setdefault(gain['baseline'], {})[name] = gain
    if not panels:
        return None
    plt = pyplot()
    counts = [len(panel) for panel in panels.values()]
    figure, axes = plt.subplots(
        len(panels),
        1,
        squeeze=False,
        sharex=True,
        figsize=(width, 0.9 + 0.42 * sum(counts) + 0.5 * len(counts)),
        height_ratios=[count + 0.6 for count in counts],
        layout='constrained',
    )
    for axis, (baseline, panel) in zip(axes[:, 0], panels.items()):
        for y, gain in enumerate(panel.values()):
            values = list(gain['values'].values())
            # Single seeds are drawn below the interval.
            axis.scatter(
                values,
                [y + 0.22] * len(values),
                s=14,
                facecolor='none',
                edgecolor='#555555',
                linewidth=0.9,
                zorder=2,
                label='single seeds',
            )
            if gain['low'] is not None:
                axis.errorbar(
                    gain['mean'],
                    y,
                    xerr=gain['mean'] - gain['low'],
                    fmt='o',
                    markersize=5,
                    capsize=3,
                    color='#0072b2',
                    zorder=3,
                    label='mean and 95 % interval',
                )
        axis.axvline(0, color='black', linewidth=0.8)
        axis.set_yticks(range(len(panel)), list(panel))
        axis.set_ylim(len(panel) - 0.5, -0.6)
        axis.set_title(f'against {baseline}', size=10, loc='left')
        axis.grid(axis='x', alpha=0.3)
        axis.spines[['top', 'right', 'left']].set_visible(False)
        axis.tick_params(axis='y', length=0)
    axes[-1, 0].set_xlabel(f'difference in {metric}')
    # The same in all panels; a panel may lack the interval.
    handles = {
        label: handle
        for axis in axes[:, 0]
        for handle, label in zip(*axis.get_legend_handles_labels())
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc='outside lower center',
        ncols=2,
        frameon=False,
    )
    return figure
