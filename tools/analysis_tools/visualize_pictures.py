"""The pictures of visualize.py: examples, and average precision per class."""

from collections import Counter
from pathlib import Path

from mmkd_plugin.reports.bars import draw_bars
from mmkd_plugin.reports.boxes import (
    draw_item,
    draw_text,
    mark_handles,
    show_images,
)
from mmkd_plugin.reports.detections import f1, match, verdicts
from mmkd_plugin.reports.drawing import (
    COLUMN,
    LINES,
    PAGE,
    PALETTE,
    STYLE,
    pyplot,
    save,
    shorten,
    text_width,
)

TRUTH = 'ground truth'
# With more classes, names are drawn at the boxes instead of in a legend.
MOST_IN_LEGEND = len(PALETTE)
# More bars do not fit on a page.
MOST_BARS = 20
BARS = (('#bbbbbb', 'o'), ('#56b4e9', 's'), ('#0072b2', '^'))
# Points: of captions and of what is written at boxes.
SIZE, SMALL = 7, 5


def draw_examples(paths, images, pixels, classes, thresholds):
    """Draw images in a row each, with columns for ground truth and models.

    Args:
        paths (list[Path]): Files to write.
        images (list[dict]): For each image its `path`, its annotations
            `truth`, and by model the detections `found`.
        pixels (list[np.ndarray]): The images, (H, W, 3).
        classes (Sequence[str]): Names, by `category_id`.
        thresholds (dict[str, float]): By model, the lowest score shown.
    """
    plt = pyplot()
    names = classes if len(classes) > MOST_IN_LEGEND else None
    with plt.rc_context(STYLE):
        legend = [] if names else _class_handles(plt, images, classes)
        figure, axes = show_images(
            pixels,
            columns=len(thresholds) + 1,
            width=PAGE,
            head=0.16,
            foot=0.4 if legend else 0.24,
            top=0.3,
        )
        for row, image in zip(axes, images):
            truth = image['truth']
            _draw(row[0], [(item, 'there') for item in truth], names)
            _write_file(figure, row[0], image['path'], len(truth))
            for axis, model in zip(row[1:], thresholds):
                found = image['found'][model]
                _draw(axis, verdicts(truth, found), names)
                _write_counts(axis, truth, found)
        _write_head(axes[0][0], TRUTH, '')
        for axis, (model, least) in zip(axes[0][1:], thresholds.items()):
            _write_head(axis, model, f'score ≥ {least}')
        for y, row in enumerate(filter(None, (mark_handles(), legend))):
            figure.legend(
                handles=row,
                loc='lower center',
                bbox_to_anchor=(0.5, y * 0.17 / figure.get_figheight()),
                ncols=len(row),
                borderaxespad=0.2,
                handletextpad=0.5,
                handlelength=3,
            )
        save(figure, paths)


def _look(label):
    """Colour and dashes of a class."""
    return PALETTE[label % len(PALETTE)], LINES[label % len(LINES)]


def _draw(axis, items, names):
    """Draw boxes, then above all of them their scores and names."""
    for item, verdict in items:
        color, dashes = _look(item['category_id'])
        draw_item(axis, item, verdict, color, '-' if names else dashes)
    width = axis.get_window_extent().width * 72 / axis.figure.dpi
    for item, verdict in items:
        label, parts = item['category_id'], []
        if names:
            parts.append(shorten(names[label], SMALL, width / 3))
        if 'score' in item:
            parts.append(f'{item["score"]:.2f}')
        if parts and verdict != 'missed':
            draw_text(axis, item, ' '.join(parts), _look(label)[0], SMALL)


def _write_file(figure, axis, path, count):
    """Above the ground truth: which image, and if nothing is annotated."""
    tail = '' if count else ', no objects'
    cell = axis.get_position(original=True).width * figure.get_figwidth()
    room = 72 * cell - text_width(tail, SIZE) - SIZE
    name = shorten(Path(path).name, SIZE, room)
    axis.set_title(name + tail, size=SIZE, pad=2)


def _write_counts(axis, truth, found):
    right, taken = match(truth, found)
    count = Counter(right=right.count(True), wrong=right.count(False))
    axis.set_title(
        f'F1 {f1(right, taken):.2f}, {count["wrong"]} wrong, '
        f'{taken.count(False)} missed',
        size=SIZE,
        pad=2,
    )


def _write_head(axis, name, note):
    """The head of a column: two lines above the captions."""
    for text, style, high in ((name, 'bold', 22), (note, 'normal', 12.5)):
        axis.annotate(
            text,
            (0.5, 1),
            (0, high),
            xycoords='axes fraction',
            textcoords='offset points',
            size=SIZE + (style == 'bold'),
            weight=style,
            ha='center',
            va='bottom',
        )


def _class_handles(plt, images, classes):
    """Entries of the legend for the classes that are drawn."""
    seen = {
        item['category_id']
        for image in images
        for items in (image['truth'], *image['found'].values())
        for item in items
    }
    handles = []
    for label in sorted(seen):
        color, dashes = _look(label)
        name = shorten(classes[label], SIZE, 72 * PAGE / len(seen) - 40)
        handles.append(
            plt.matplotlib.lines.Line2D(
                [], [], color=color, linestyle=dashes, label=name
            )
        )
    return handles


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


def draw_classes(paths, results):
    """Plot the average precision of each class, a bar for each model.

    Args:
        paths (list[Path]): Files to write.
        results (dict[str, dict]): By model, the result of
            :func:`~detections.evaluate`.
    """
    plt = pyplot()
    shown = choose_bars(results)
    with plt.rc_context({**STYLE, 'axes.grid.axis': 'x'}):
        figure, axis = plt.subplots(
            figsize=(COLUMN, 0.33 * (len(shown) + 1) + 0.8),
            layout='constrained',
        )
        values = {
            model: {
                name: 100 * value
                for name, value in [
                    ('all classes', result['mAP']),
                    *((name, result['classes'][name]) for name in shown),
                ]
            }
            for model, result in results.items()
        }
        looks = dict(zip(results, BARS))
        for bars in draw_bars(axis, values, looks).values():
            axis.bar_label(bars, fmt='%.1f', size=5.5, padding=4)
        axis.axhline(0.5, color='#999999', linewidth=0.6)
        axis.set_xlabel('AP (%)')
        if len(shown) < sum(
            value is not None
            for value in next(iter(results.values()))['classes'].values()
        ):
            axis.set_title(
                f'the {len(shown)} classes in which the students differ most',
                loc='left',
            )
        figure.legend(loc='outside upper center', ncols=len(results))
        save(figure, paths)
