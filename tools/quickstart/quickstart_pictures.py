"""The pictures of the quickstart."""

import json

from mmkd_plugin.reports.detections import by_score, match
from mmkd_plugin.reports.drawing import (
    draw_box,
    draw_name,
    pyplot,
    save,
    show_images,
)

COLORS = dict(
    right='#19e36b', wrong='#ff3b30', missed='#ffd60a', there='white'
)
# Detections with a lower score are not drawn. It is about where F1 is best,
# for all three models.
SHOWN_SCORE = 0.7


def draw_scenes(path, data, found, num_scenes=4):
    """Draw validation scenes with ground truth and each model's detections.

    The counts in the titles are over the whole validation set.

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
        width=3 * (len(found) + 1),
        head=0.06,
        foot=0.4,
        top=0.45,
    )

    def draw(axis, item, verdict):
        color, is_missed = COLORS[verdict], verdict == 'missed'
        style = ':' if is_missed else '-'
        draw_box(axis, item, color, linestyle=style, linewidth=1.5)
        if not is_missed:
            draw_name(axis, item, names[item['category_id']], color, 8)

    for axis, image in zip(axes[:, 0], images):
        for item in there[image['id']]:
            draw(axis, item, 'there')
    total = len(truth['annotations'])
    axes[0, 0].set_title(f'ground truth\n{total} digits', size=11)

    for column, (name, file) in zip(axes[:, 1:].T, found.items()):
        shown = {image_id: [] for image_id in there}
        for item in json.loads(file.read_text()):
            if item['score'] >= SHOWN_SCORE:
                shown[item['image_id']].append(item)
        verdicts = {
            image_id: match(there[image_id], detections)
            for image_id, detections in shown.items()
        }
        for axis, image_id in zip(column, (image['id'] for image in images)):
            right, taken = verdicts[image_id]
            for item, hit in zip(there[image_id], taken):
                if not hit:
                    draw(axis, item, 'missed')
            for item, good in zip(by_score(shown[image_id]), right):
                draw(axis, item, 'right' if good else 'wrong')
        num_right = sum(sum(right) for right, _ in verdicts.values())
        num_wrong = sum(map(len, shown.values())) - num_right
        column[0].set_title(
            f'{name}\n{num_right} right, {num_wrong} wrong', size=11
        )
    figure.legend(
        handles=[
            plt.matplotlib.patches.Patch(color=COLORS[verdict], label=label)
            for verdict, label in dict(
                right='right',
                wrong='wrong class or place, or duplicate',
                missed='missed (dotted)',
            ).items()
        ],
        loc='lower center',
        ncols=3,
        frameon=False,
        fontsize=11,
    )
    save(figure, [path], dpi=100)
