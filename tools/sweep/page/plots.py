"""The figures of the page."""

from pathlib import Path
from tempfile import TemporaryDirectory

import sweep_plot

from mmkd_plugin.reports import curves
from mmkd_plugin.reports.bars import draw_bars
from mmkd_plugin.reports.drawing import (
    MARKERS,
    SERIES,
    STYLE,
    label_of,
    line_style,
    pyplot,
)
from mmkd_plugin.reports.run_log import epoch_length

from .theme import GRID, INK, MUTED, inline, inline_svg

MOST = len(SERIES)
# Inches; about what a page has.
WIDTH = 9.5
# For a screen: larger than in print.
SCREEN = {
    **STYLE,
    'font.size': 9,
    'axes.titlesize': 10,
    'axes.edgecolor': MUTED,
    'xtick.color': MUTED,
    'ytick.color': MUTED,
    'xtick.labelcolor': INK,
    'ytick.labelcolor': INK,
    'grid.color': GRID,
    'grid.alpha': 0.5,
}


def plot_differences(data):
    """Differences to the baselines, as in results.png.

    Args:
        data (Data): The sweep.

    Returns:
        Markup | None: None if nothing can be compared.
    """
    with pyplot().rc_context(SCREEN):
        figure = sweep_plot.make_figure(data.rows, data.plan.metric, WIDTH)
    if figure is None:
        return None
    return inline(
        figure,
        f'Difference in {data.plan.metric} to the baseline for every run, '
        'with its 95 % interval and single seeds. The numbers are in the '
        'table.',
    )


def plot_metric(data, baseline):
    """The metric over the training: means over seeds, single seeds faint.

    Args:
        data (Data): The sweep.
        baseline (str): The group to show.

    Returns:
        Markup | None: None if no run was validated more than once.
    """
    names = data.drawn(baseline, MOST)
    in_epochs = all(
        epoch_length(records)
        for name in names
        for records in data.logs[name].values()
    )
    found = {
        name: [
            dict(zip(*curves.points(records, data.plan.metric, in_epochs)))
            for records in data.logs[name].values()
        ]
        for name in names
    }
    if max((len(s) for seeds in found.values() for s in seeds), default=0) < 2:
        return None
    plt = pyplot()
    with plt.rc_context(SCREEN):
        figure, axis = plt.subplots(figsize=(WIDTH, 3.6), layout='constrained')
        for index, (name, seeds) in enumerate(found.items()):
            _draw_line(axis, index, name, seeds)
        axis.set_xlabel('epoch' if in_epochs else 'iteration')
        axis.set_ylabel(data.plan.metric)
        figure.legend(
            loc='outside upper left', ncols=min(len(names), 4), handlelength=3
        )
        return inline(
            figure,
            f'{data.plan.metric} over the training of '
            f'{", ".join(names)}; the last values are in the table.',
        )


def _draw_line(axis, index, name, seeds):
    """Draw the seeds of one run, and their mean where all have a value."""
    if len(seeds) > 1:
        for values in seeds:
            axis.plot(
                *_xy(values), color=SERIES[index], linewidth=0.8, alpha=0.3
            )
    shared = set.intersection(*map(set, seeds))
    mean = {
        step: sum(values[step] for values in seeds) / len(seeds)
        for step in sorted(shared)
    }
    axis.plot(
        *_xy(mean),
        **line_style(index, len(mean)),
        markersize=4.5,
        linewidth=1.6,
        label=label_of(name),
    )


def _xy(values):
    return [*values.keys()], [*values.values()]


def plot_losses(data, baseline):
    """The terms of the loss and the rates of one seed of each run.

    Args:
        data (Data): The sweep.
        baseline (str): The group to show.

    Returns:
        tuple[Markup, int] | None: The figure and the seed, the first that
        the baseline has finished; None if nothing was logged with it.
    """
    seed = min(data.logs[baseline], default=None)
    runs = {
        name: data.logs[name][seed]
        for name in data.drawn(baseline, MOST)
        if data.logs[name].get(seed)
    }
    if not any('loss' in record for log in runs.values() for record in log):
        return None
    # Other names of definitions than in the other figures of the page.
    screen = {**SCREEN, 'svg.hashsalt': f'losses {baseline}'}
    with TemporaryDirectory() as folder, pyplot().rc_context(screen):
        path = Path(folder, 'losses.svg')
        curves.draw([path], runs)
        text = path.read_text()
    return inline_svg(
        text, f'Terms of the training loss with seed {seed}'
    ), seed


def plot_classes(results, unit, order):
    """The quality of each class, a bar for each run.

    Args:
        results (dict[str, dict[str, float]]): By run and class, in the order
            in which they are shown.
        unit (str): What the values are.
        order (list[str]): The runs of the other figures, whose colours and
            marks are used.

    Returns:
        Markup: The figure.
    """
    plt = pyplot()
    classes = len(next(iter(results.values())))
    tall = max(0.16 * len(results), 0.3) * classes + 0.9
    looks = {
        name: (SERIES[order.index(name)], MARKERS[order.index(name)])
        for name in results
    }
    with plt.rc_context({**SCREEN, 'axes.grid.axis': 'x'}):
        figure, axis = plt.subplots(
            figsize=(WIDTH, tall), layout='constrained'
        )
        draw_bars(axis, results, looks)
        axis.set_xlabel(unit)
        figure.legend(loc='outside upper left', ncols=min(len(results), 4))
        return inline(
            figure,
            f'{unit} of each class for {", ".join(results)}. The numbers are '
            'in the table below.',
        )
