"""The pictures of the quickstart."""

import json
from collections import Counter

from mmkd_plugin.reports.boxes import (
    draw_item,
    draw_text,
    mark_handles,
    show_images,
)
from mmkd_plugin.reports.detections import verdicts
from mmkd_plugin.reports.drawing import pyplot, save
from mmkd_plugin.reports.threshold import FALLBACK, best_threshold

COLORS = dict(
    right='#56b4e9', wrong='#d55e00', missed='#f0e442', there='#ffffff'
)


def draw_scenes(path, data, found, num_scenes=4):
    """Draw validation scenes with ground truth and each model's detections.

    Each model is shown with the threshold that is best for its F1. The counts
    in the titles are over the whole validation set.

    Args:
        path (Path): The file to write.
        data (Path): The data set.
        found (dict[str, Path]): By model, its file of detections.
        num_scenes (int): How many of the first validation scenes to draw.
    """
    plt = pyplot()
    truth = json.loads((data / 'annotations' / 'val.json').read_text())
    names = {c['id']: c['name'] for c in truth['categories']}
    there = {image['id']: [] for image in truth['images']}
    for item in truth['annotations']:
        there[item['image_id']].append(item)
    images = truth['images'][:num_scenes]
    figure, axes = show_images(
        [plt.imread(data / 'val' / image['file_name']) for image in images],
        columns=len(found) + 1,
        width=2.6 * (len(found) + 1),
        head=0.06,
        foot=0.4,
        top=0.65,
    )

    def draw(axis, items):
        for item, verdict in items:
            draw_item(axis, item, verdict, COLORS[verdict])
        for item, verdict in items:
            if verdict != 'missed':
                name = names[item['category_id']]
                draw_text(axis, item, name, COLORS[verdict], 8)

    for axis, image in zip(axes[:, 0], images):
        draw(axis, [(item, 'there') for item in there[image['id']]])
    total = len(truth['annotations'])
    axes[0, 0].set_title(f'ground truth\n{total} digits', size=11)

    for column, (name, file) in zip(axes[:, 1:].T, found.items()):
        judged, threshold = _judge(there, json.loads(file.read_text()))
        for axis, image in zip(column, images):
            draw(axis, judged[image['id']])
        count = Counter(how for items in judged.values() for _, how in items)
        column[0].set_title(
            f'{name}\nscore ≥ {threshold}\n'
            f'{count["right"]} right, {count["wrong"]} wrong',
            size=11,
        )
    marks = {key: COLORS[key] for key in ('right', 'wrong', 'missed')}
    figure.legend(
        handles=mark_handles(**marks),
        loc='lower center',
        ncols=3,
        frameon=False,
        fontsize=11,
    )
    save(figure, [path], dpi=100)


def _judge(there, detections):
    """Judge the detections of one model that reach its threshold.

    Args:
        there (dict[int, list[dict]]): Annotations by image.
        detections (list[dict]): All detections.

    Returns:
        tuple[dict[int, list[tuple]], float]: By image as of ``verdicts``; and
        the threshold.
    """
    found = {image: [] for image in there}
    for item in detections:
        found[item['image_id']].append(item)
    threshold = best_threshold((there[i], found[i]) for i in there)
    if threshold is None:
        threshold = FALLBACK
    return {
        image: verdicts(
            there[image], [i for i in items if i['score'] >= threshold]
        )
        for image, items in found.items()
    }, threshold
