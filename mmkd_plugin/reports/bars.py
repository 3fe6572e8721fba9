"""Bars for the quality of each class, one for each model."""

from .drawing import label_of, shorten


def draw_bars(axis, results, looks, room=110.0):
    """Draw horizontal bars, which leave space for the names of classes.

    Args:
        axis (Axes): Empty axes.
        results (dict[str, dict[str, float]]): By model and class, in the
            order in which they are shown.
        looks (dict[str, tuple[str, str]]): Colour and marker of each model:
            the mark at the end tells models apart without colours.
        room (float): Width that a name of a class may have, points.

    Returns:
        dict[str, BarContainer]: The bars of each model.
    """
    classes = list(next(iter(results.values())))
    high, drawn = 0.8 / len(results), {}
    for place, (name, values) in enumerate(results.items()):
        places = [
            at + (place - (len(results) - 1) / 2) * high
            for at in range(len(classes))
        ]
        widths = [values[one] for one in classes]
        color, marker = looks[name]
        drawn[name] = axis.barh(places, widths, 0.8 * high, color=color)
        axis.plot(
            widths,
            places,
            linestyle='',
            marker=marker,
            color=color,
            markeredgecolor='#ffffff',
            markersize=axis.xaxis.label.get_size() * 0.85,
            clip_on=False,
            label=label_of(name),
        )
    size = axis.yaxis.label.get_size()
    names = [shorten(one, size, room) for one in classes]
    axis.set_yticks(range(len(classes)), names)
    axis.set_ylim(len(classes) - 0.45, -0.55)
    axis.set_xlim(0, 1.1 * axis.dataLim.xmax or 1)
    axis.tick_params(axis='y', length=0)
    return drawn
