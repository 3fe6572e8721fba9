"""The pictures of visualize.py: examples, and average precision per class."""

from mmkd_plugin.reports.detections import by_score, f1, match
from mmkd_plugin.reports.drawing import (
    COLUMN,
    PAGE,
    PALETTE,
    STYLE,
    draw_box,
    draw_name,
    pyplot,
    save,
    show_images,
)

TRUTH = 'ground truth'
# With more classes, names are drawn at the boxes instead of in a legend.
MOST_IN_LEGEND = len(PALETTE)
# More class names do not fit under the bars.
MOST_BARS = 20
BARS = ('#bbbbbb', '#56b4e9', '#0072b2')


def draw_examples(paths, examples, classes, pixels):
    """Draw images in a row each, with columns for ground truth and models.

    Args:
        paths (list[Path]): Files to write.
        examples (list[tuple[list, dict]]): For each image its annotations,
            and the detections by model.
        classes (Sequence[str]): Names, by `category_id`.
        pixels (list[np.ndarray]): The images, (H, W, 3).
    """
    plt = pyplot()
    models = list(examples[0][1])
    seen = sorted(
        {
            item['category_id']
            for truth, found in examples
            for items in (truth, *found.values())
            for item in items
        }
    )
    names = classes if len(classes) > MOST_IN_LEGEND else None
    with plt.rc_context(STYLE):
        figure, axes = show_images(
            pixels,
            columns=len(models) + 1,
            width=PAGE,
            head=0.16,
            foot=0.24 if names else 0.4,
            top=0.16,
        )
        for row, (truth, found) in zip(axes, examples):
            for item in truth:
                _draw_item(row[0], item, 'there', names)
            for axis, model in zip(row[1:], models):
                verdict = match(truth, found[model])
                _draw_verdict(axis, truth, found[model], verdict, names)
                _write_counts(axis, *verdict)
        for axis, name in zip(axes[0], (TRUTH, *models)):
            axis.text(
                0.5,
                1,
                name,
                size=8,
                weight='bold',
                ha='center',
                va='bottom',
                transform=axis.transAxes
                + plt.matplotlib.transforms.ScaledTranslation(
                    0, 0.15, figure.dpi_scale_trans
                ),
            )
        handles = [] if names else _class_handles(plt, seen, classes)
        marks = _mark_handles(plt)
        for y, row in enumerate(filter(None, (marks, handles))):
            figure.legend(
                handles=row,
                loc='lower center',
                bbox_to_anchor=(0.5, y * 0.17 / figure.get_figheight()),
                ncols=len(row),
                borderaxespad=0.2,
                handletextpad=0.5,
            )
        save(figure, paths)


def _color(item):
    return PALETTE[item['category_id'] % len(PALETTE)]


def _draw_verdict(axis, truth, found, verdict, names):
    right, taken = verdict
    for item, hit in zip(truth, taken):
        if not hit:
            _draw_item(axis, item, 'missed', None)
    for item, good in zip(by_score(found), right):
        _draw_item(axis, item, 'right' if good else 'wrong', names)


def _draw_item(axis, item, verdict, names):
    """Draw a box in the colour of its class, with a white outline."""
    from matplotlib.patheffects import withStroke

    color, label = _color(item), item['category_id']
    if verdict == 'missed':
        draw_box(axis, item, color, fill=0.45, linewidth=0, label=label)
        return
    rim = [withStroke(linewidth=2.0, foreground='white', alpha=0.8)]
    draw_box(axis, item, color, linewidth=1.0, path_effects=rim, label=label)
    if verdict == 'wrong':
        x, y, width, height = item['bbox']
        axis.plot(
            x + width / 2,
            y + height / 2,
            path_effects=rim,
            **_cross(color),
        )
    if names:
        draw_name(axis, item, names[item['category_id']], color, 5)


def _cross(color):
    return dict(
        marker='x', markersize=5, markeredgewidth=1.2, color=color, ls=''
    )


def _write_counts(axis, right, taken):
    wrong, missed = right.count(False), taken.count(False)
    counts = f'F1 {f1(right, taken):.2f}, {wrong} wrong, {missed} missed'
    axis.set_title(counts, size=7, pad=2)


def _class_handles(plt, seen, classes):
    """Entries of the legend for the classes."""
    return [
        plt.matplotlib.patches.Patch(
            facecolor='none',
            edgecolor=_color(dict(category_id=label)),
            label=classes[label],
        )
        for label in seen
    ]


def _mark_handles(plt):
    """Entries of the legend for right, wrong and missed."""
    patch = plt.matplotlib.patches.Patch
    grey = '#444444'
    return [
        patch(facecolor='none', edgecolor=grey, label='found and right'),
        plt.matplotlib.lines.Line2D(
            [], [], **_cross(grey), label='found but wrong'
        ),
        patch(facecolor=grey, alpha=0.45, lw=0, label='missed'),
    ]


def choose_bars(results):
    """Choose the classes that are shown.

    Args:
        results (dict[str, dict]): By model, the result of
            :func:`~detections.evaluate`; the last two are compared.

    Returns:
        list[str]: The classes that have annotations; if there are more than
        :data:`MOST_BARS`, those in which the two differ most.
    """
    *_, alone, distilled = (result['classes'] for result in results.values())
    known = [name for name, value in alone.items() if value is not None]
    if len(known) <= MOST_BARS:
        return known
    known.sort(key=lambda name: abs(distilled[name] - alone[name]))
    shown = set(known[-MOST_BARS:])
    return [name for name in alone if name in shown]


def draw_bars(paths, results):
    """Plot the average precision of each class, a bar for each model.

    Args:
        paths (list[Path]): Files to write.
        results (dict[str, dict]): See :func:`choose_bars`.
    """
    plt = pyplot()
    shown = choose_bars(results)
    some = len(shown) < sum(
        value is not None
        for value in next(iter(results.values()))['classes'].values()
    )
    labels = ['all', *shown]
    few = len(labels) <= 5
    with plt.rc_context({**STYLE, 'axes.grid.axis': 'y'}):
        figure, axis = plt.subplots(
            figsize=(COLUMN if len(labels) <= 8 else PAGE, 2.1),
            layout='constrained',
        )
        width = 0.8 / len(results)
        for index, (model, result) in enumerate(results.items()):
            values = [
                100 * value
                for value in (
                    result['mAP'],
                    *(result['classes'][name] for name in shown),
                )
            ]
            bars = axis.bar(
                [
                    x + (index - (len(results) - 1) / 2) * width
                    for x in range(len(labels))
                ],
                values,
                width * 0.94,
                color=BARS[index],
                label=model,
            )
            if few:
                axis.bar_label(bars, fmt='%.1f', size=5.5, padding=1)
        axis.axvline(0.5, color='#999999', linewidth=0.6)
        axis.set_xticks(range(len(labels)), labels)
        if not few:
            plt.setp(axis.get_xticklabels(), rotation=45, ha='right')
            for text in axis.get_xticklabels():
                text.set_rotation_mode('anchor')
        axis.tick_params(axis='x', length=0)
        axis.set_xlim(-0.5, len(labels) - 0.5)
        axis.set_ylabel('AP (%)')
        if some:
            axis.set_title(
                f'the {len(shown)} classes in which the students differ most',
                loc='left',
            )
        figure.legend(loc='outside upper center', ncols=len(results))
        save(figure, paths)
