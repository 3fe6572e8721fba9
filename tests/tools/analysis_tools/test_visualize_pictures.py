"""What the pictures show."""

import numpy as np
import pytest
import visualize_pictures
from matplotlib.colors import to_hex

from mmkd_plugin.reports.drawing import PALETTE
from tests.helpers.figures import caught  # noqa: F401


def item(left, category, **more):
    box = [left, 0.0, 10.0, 10.0]
    return dict(category_id=category, bbox=box, **more)


def example():
    truth = [item(0, 0), item(20, 2), item(40, 2)]
    found = [
        item(20, 2, score=0.6),
        item(0, 1, score=0.9),
        item(40, 2, score=0.7),
    ]
    return truth, dict(teacher=truth_of(truth), student=found)


def truth_of(truth):
    return [dict(one, score=1.0) for one in truth]


def draw(path, classes):
    pixels = np.zeros((30, 60, 3), np.uint8)
    visualize_pictures.draw_examples(
        [path], [example(), example()], classes, [pixels, pixels]
    )


def test_boxes(caught, tmp_path):  # noqa: F811
    draw(tmp_path / 'a.png', ['cat', 'dog', 'owl'])
    (figure,) = caught
    there, teacher, student, *others = figure.axes
    assert len(others) == 3
    colors = [to_hex(box.get_edgecolor()) for box in there.patches]
    assert colors == [PALETTE[0], PALETTE[2], PALETTE[2]]
    assert not teacher.lines
    # What is missed comes first, filled; then what was found, by score.
    missed, *found = student.patches
    assert missed.get_facecolor()[3] > 0.3
    assert to_hex(missed.get_facecolor()) == PALETTE[0]
    assert [to_hex(box.get_edgecolor()) for box in found] == [
        PALETTE[1],
        PALETTE[2],
        PALETTE[2],
    ]
    assert all(box.get_facecolor()[3] == 0 for box in found)
    # In the middle of what is wrong is a cross of its colour.
    (cross,) = student.lines
    assert (cross.get_xdata(), cross.get_ydata()) == ([5], [5])
    assert cross.get_color() == PALETTE[1]
    assert teacher.get_title() == 'F1 1.00, 0 wrong, 0 missed'
    assert student.get_title() == 'F1 0.67, 1 wrong, 1 missed'
    texts = [
        text.get_text()
        for legend in figure.legends
        for text in legend.get_texts()
    ]
    assert texts == [
        'found and right', 'found but wrong', 'missed', 'cat', 'dog', 'owl'
    ]  # fmt: skip


def test_many_classes_are_named_at_the_boxes(caught, tmp_path):  # noqa: F811
    draw(tmp_path / 'a.png', [f'class {i}' for i in range(20)])
    (figure,) = caught
    names = [
        text.get_text() for axis in figure.axes[:3] for text in axis.texts
    ]
    assert names.count('class 2') == 6
    assert names.count('class 1') == 1
    assert len(figure.legends) == 1


def results(**classes):
    """AP by class of the teacher, the student alone and the distilled."""
    names = ('teacher', 'alone', 'distilled')
    return {
        name: dict(
            mAP=0.5,
            classes={key: values[i] for key, values in classes.items()},
        )
        for i, name in enumerate(names)
    }


def test_bars(caught, tmp_path):  # noqa: F811
    found = results(
        cat=(0.6, 0.4, 0.5), dog=(None, None, None), owl=(0.3, 0.2, 0.1)
    )
    visualize_pictures.draw_bars([tmp_path / 'a.svg'], found)
    (figure,) = caught
    (axis,) = figure.axes
    labels = [text.get_text() for text in axis.get_xticklabels()]
    assert labels == ['all', 'cat', 'owl']
    heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
    assert np.allclose(heights, [[50, 60, 30], [50, 40, 20], [50, 50, 10]])
    assert not axis.get_title('left')
    assert '<text' in (tmp_path / 'a.svg').read_text()


def test_of_many_classes_those_that_differ_most(monkeypatch):
    monkeypatch.setattr(visualize_pictures, 'MOST_BARS', 2)
    found = results(
        a=(0.1, 0.1, 0.2),
        b=(0.1, 0.5, 0.1),
        c=(None, None, None),
        d=(0.1, 0.4, 0.7),
    )
    assert visualize_pictures.choose_bars(found) == ['b', 'd']


@pytest.mark.parametrize('count, most', [(2, 2), (3, 3)])
def test_few_classes_are_all_shown(monkeypatch, count, most):
    monkeypatch.setattr(visualize_pictures, 'MOST_BARS', most)
    found = results(**{str(i): (0.1, 0.2, 0.3) for i in range(count)})
    shown = visualize_pictures.choose_bars(found)
    assert shown == [str(i) for i in range(count)]
