"""The picture of the scenes."""

import json

import pytest

pytest.importorskip('sklearn')

import make_digits  # noqa: E402
import quickstart_pictures  # noqa: E402

from tests.helpers.figures import caught  # noqa: E402, F401


def test_scenes(tmp_path, caught):  # noqa: F811
    make_digits.make_split(tmp_path, 'val', num_images=3)
    path = tmp_path / 'annotations' / 'val.json'
    truth = json.loads(path.read_text())['annotations']
    found = {}
    for index, name in enumerate(('teacher', 'student', 'student + CKD')):
        items = [dict(item, score=0.9) for item in truth[index:]]
        found[name] = tmp_path / f'{index}.json'
        found[name].write_text(json.dumps(items if index != 1 else []))
    items = json.loads(found['teacher'].read_text())
    for item in items[:2]:
        item['category_id'] = item['category_id'] % 10 + 1
    items[1]['score'] = 0.1
    found['teacher'].write_text(json.dumps(items))
    file = tmp_path / 'scenes.png'
    quickstart_pictures.draw_scenes(file, tmp_path, found, 2)
    (figure,) = caught
    titles = [axis.get_title() for axis in figure.axes[:4]]
    total = len(truth)
    assert titles == [
        f'ground truth\n{total} digits',
        f'teacher\nscore ≥ 0.9\n{total - 2} right, 1 wrong',
        'student\nscore ≥ 0.5\n0 right, 0 wrong',
        f'student + CKD\nscore ≥ 0.9\n{total - 2} right, 0 wrong',
    ]
    first = [item for item in truth if item['image_id'] == 1]
    # Two scenes; in the first the student misses all: areas without outline.
    assert len(figure.axes) == 8
    boxes = figure.axes[2].patches
    assert len(boxes) == len(first)
    assert {box.get_linewidth() for box in boxes} == {0}
    assert all(box.get_facecolor()[3] for box in boxes)
    # What is wrong has a cross.
    assert len(figure.axes[1].lines) == 1 and not figure.axes[3].lines
    assert file.is_file()
