"""Pictures of what one model gets right and another does not."""

import base64
from collections import Counter
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

from mmkd_plugin.reports.detections import f1, match, verdicts
from mmkd_plugin.reports.drawing import PALETTE

from .validation import open_images

MOST = dict(detection=3, classification=5)
WIDTH, LEAST = 360, 128
LINE, RIM = 2, '#ffffffb0'


def choose(alone, other):
    """Choose the images in which two models differ most.

    Args:
        alone (dict): Predictions of the student alone.
        other (dict): Those of a method, on the same images.

    Returns:
        dict: Positions in the predictions, at most :data:`MOST` of what
        ``improved`` and of what was ``harmed``, the largest change first; and
        ``counts``, how many changed each way.

    Detections are ranked by the change in the number of matched annotations,
    then by that in F1; labels by the change in the probability of the true
    one, among those whose label turned right or wrong.
    """
    is_detection = alone['task'] == 'detection'
    find = _changes_of_boxes if is_detection else _changes_of_labels
    changes = [*find(alone, other)]
    most = MOST[alone['task']]
    better = sorted((c for c in changes if c[0] > 0), reverse=True)
    worse = sorted(c for c in changes if c[0] < 0)
    return dict(
        improved=[at for *_, at in better[:most]],
        harmed=[at for *_, at in worse[:most]],
        counts=(len(better), len(worse)),
    )


def _changes_of_boxes(alone, other):
    """Change in matches and in F1, and the position of the image."""
    for at, truth in enumerate(alone['truth']):
        one, two = (
            match(truth, found['found'][at]) for found in (alone, other)
        )
        yield sum(two[1]) - sum(one[1]), f1(*two) - f1(*one), at


def _changes_of_labels(alone, other):
    """+1 turned right, -1 turned wrong; change in trust; the position."""
    for at, truth in enumerate(alone['truth']):
        one, two = (found['found'][at] == truth for found in (alone, other))
        yield two - one, other['trust'][at] - alone['trust'][at], at


def draw(folder, models, positions):
    """Draw images with the ground truth and what models predict.

    Args:
        folder (Path): Of a training, whose validation images are drawn.
        models (dict[str, dict]): Predictions by the name of the model.
        positions (list[int]): Positions in the predictions.

    Returns:
        tuple[list[list[dict]], dict[str, str]]: For each image, for ground
        truth and each model, ``title``, ``source`` (a data URI), ``alt``,
        ``caption``, ``width`` and ``height``; and the colour of each class
        that is drawn.
    """
    first = next(iter(models.values()))
    images = open_images(folder, [first['images'][at] for at in positions])
    classes = [*first['classes']]
    if first['task'] == 'classification':
        drawn = [
            [_show_labels(image, models, at, classes)]
            for at, image in zip(positions, images)
        ]
        return drawn, {}
    seen = sorted(
        {
            item['category_id']
            for at in positions
            for found in models.values()
            for item in found['truth'][at] + found['found'][at]
        }
    )
    colors = {
        classes[label]: PALETTE[index % len(PALETTE)]
        for index, label in enumerate(seen)
    }
    drawn = [
        _draw_boxes(image, models, at, classes, colors)
        for at, image in zip(positions, images)
    ]
    return drawn, colors


def _draw_boxes(image, models, at, classes, colors):
    truth = next(iter(models.values()))['truth'][at]
    there = [(item, 'there') for item in truth]
    cells = [_cell('ground truth', image, there, classes, colors)]
    for name, predictions in models.items():
        found = predictions['found'][at]
        items = verdicts(truth, found)
        cell = _cell(name, image, items, classes, colors)
        count = Counter(verdict for _, verdict in items)
        cell['caption'] = (
            f'{count["right"]} of {len(truth)} found, {count["wrong"]} wrong'
        )
        cell['alt'] = f'{name}: {cell["caption"]}'
        cells.append(cell)
    return cells


def _cell(title, image, items, classes, colors):
    """One picture with boxes."""
    scale = WIDTH / image.width
    picture = image.resize((WIDTH, max(round(image.height * scale), 1)))
    canvas = ImageDraw.Draw(picture, 'RGBA')
    counts = {}
    for item, how in items:
        name = classes[item['category_id']]
        counts[name] = counts.get(name, 0) + 1
        _draw_box(canvas, item, how, scale, colors[name])
        if len(colors) > len(PALETTE) and how != 'missed':
            _write(canvas, item, name, scale)
    text = ', '.join(f'{count} {name}' for name, count in counts.items())
    return dict(
        _encode(picture),
        title=title,
        caption=text or 'nothing',
        alt=f'{title}: {text or "nothing"}',
    )


def _draw_box(canvas, item, how, scale, color):
    """An outline; missed: an area; wrong: an outline with a cross."""
    x, y, width, height = (value * scale for value in item['bbox'])
    box = (x, y, x + max(width, 1), y + max(height, 1))
    if how == 'missed':
        canvas.rectangle(box, fill=f'{color}80')
        return
    canvas.rectangle(box, outline=RIM, width=LINE + 2)
    canvas.rectangle(box, outline=color, width=LINE)
    if how == 'wrong':
        x, y, arm = x + width / 2, y + height / 2, 6
        for wide, paint in ((LINE + 2, RIM), (LINE, color)):
            for sign in (1, -1):
                ends = (x - arm, y - sign * arm, x + arm, y + sign * arm)
                canvas.line(ends, fill=paint, width=wide)


def _write(canvas, item, name, scale):
    """The name of a class, where colours are too few to tell."""
    place = (item['bbox'][0] * scale + 3, item['bbox'][1] * scale + 2)
    font = ImageFont.load_default(10)
    canvas.rectangle(canvas.textbbox(place, name, font), fill='#ffffffc0')
    canvas.text(place, name, fill='#000000', font=font)


def _show_labels(image, models, at, classes):
    truth = next(iter(models.values()))['truth'][at]
    if image.width < LEAST:
        times = -(-LEAST // image.width)
        size = (image.width * times, image.height * times)
        image = image.resize(size, Image.Resampling.NEAREST)
    image.thumbnail((WIDTH, WIDTH))
    lines = [f'ground truth: {classes[truth]}']
    for name, predictions in models.items():
        trust = 100 * predictions['trust'][at]
        lines.append(
            f'{name}: {classes[predictions["found"][at]]} '
            f'({trust:.0f} % on the true class)'
        )
    return dict(
        _encode(image),
        title=classes[truth],
        caption='; '.join(lines[1:]),
        alt='; '.join(lines),
    )


def _encode(picture):
    """A picture as a data URI, with its size."""
    file = BytesIO()
    picture.save(file, 'WEBP', quality=75, method=6)
    data = base64.b64encode(file.getvalue()).decode()
    return dict(
        source=f'data:image/webp;base64,{data}',
        width=picture.width,
        height=picture.height,
    )
