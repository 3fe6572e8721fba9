"""What the pictures show."""

import numpy as np
import pytest
import visualize_pictures
from matplotlib.colors import to_hex

from mmkd_plugin.reports.drawing import PALETTE
from tests.helpers.figures import caught  # noqa: F401


def item(left, category, **more):
    box = [left, 10.0, 10.0, 10.0]
    return dict(category_id=category, bbox=box, **more)


def example(path='some/image.jpg'):
    truth = [item(0, 0), item(20, 2), item(40, 2)]
    found = [
        item(20, 2, score=0.6),
        item(0, 1, score=0.9),
        item(40, 2, score=0.7),
    ]
    exact = [dict(one, score=1.0) for one in truth]
    return dict(
        path=path, truth=truth, found=dict(teacher=exact, student=found)
    )


def draw(path, classes, *images):
    images = images or (example(), example())
    visualize_pictures.draw_examples(
        [path],
        images,
        [np.zeros((30, 60, 3), np.uint8)] * len(images),
        classes,
        dict(teacher=0.25, student=0.875),
    )


def texts(axis):
    return [text.get_text() for text in axis.texts]


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
    assert (cross.get_xdata(), cross.get_ydata()) == ([4.5], [14.5])
    assert cross.get_color() == PALETTE[1]
    assert there.get_title() == 'image.jpg'
    assert teacher.get_title() == 'F1 1.00, 0 wrong, 0 missed'
    assert student.get_title() == 'F1 0.67, 1 wrong, 1 missed'
    legends = [
        text.get_text()
        for legend in figure.legends
        for text in legend.get_texts()
    ]
    assert legends == [
        'found and right', 'found but wrong', 'missed', 'cat', 'dog', 'owl'
    ]  # fmt: skip
    # Scores at the boxes, best first; then the head of the column.
    assert texts(student) == [
        '0.90', '0.70', '0.60', 'student', 'score ≥ 0.875'
    ]  # fmt: skip
    assert texts(teacher)[-1] == 'score ≥ 0.25'
    assert texts(there) == ['ground truth', '']
    assert texts(others[2]) == ['0.90', '0.70', '0.60']


def test_classes_differ_without_colours(caught, tmp_path):  # noqa: F811
    draw(tmp_path / 'a.png', ['cat', 'dog', 'owl'])
    (figure,) = caught
    there = figure.axes[0]
    cat, owl, other = (box.get_linestyle() for box in there.patches)
    assert cat != owl == other
    shown = {
        line.get_label(): line.get_linestyle()
        for line in figure.legends[1].get_lines()
    }
    assert shown['cat'] == cat and shown['owl'] == owl
    assert len(set(shown.values())) == 3


def test_many_classes_are_named_at_the_boxes(caught, tmp_path):  # noqa: F811
    draw(tmp_path / 'a.png', [f'class {i}' for i in range(20)])
    (figure,) = caught
    there, teacher, student, *_ = figure.axes
    assert texts(there)[:3] == ['class 0', 'class 2', 'class 2']
    assert texts(student)[:3] == [
        'class 1 0.90', 'class 2 0.70', 'class 2 0.60'
    ]  # fmt: skip
    assert len(figure.legends) == 1


def test_long_names_are_cut_in_the_middle(caught, tmp_path):  # noqa: F811
    image = example('x/' + 'folder_' * 30 + '000123.jpg')
    draw(tmp_path / 'a.png', ['an owl ' * 30, '_dog', '$cat$'], image)
    draw(tmp_path / 'a.png', ['an owl ' * 30] * 20, image)
    few, many = caught
    for figure in caught:
        figure.canvas.draw()
        width = figure.get_window_extent().width
        assert figure.axes[0].get_title().endswith('000123.jpg')
        for axis in figure.axes:
            inside = axis.get_window_extent()
            title = axis.title.get_window_extent()
            assert title.x0 >= inside.x0 - 2 and title.x1 <= inside.x1 + 2
        for legend in figure.legends:
            place = legend.get_window_extent()
            assert place.x0 >= 0 and place.x1 <= width
    # The score is never cut off.
    assert texts(many.axes[2])[0].endswith(' 0.90')
    assert len(few.legends[1].get_texts()) == 3


def test_an_image_without_objects(caught, tmp_path):  # noqa: F811
    image = dict(path='a.png', truth=[], found=dict(teacher=[], student=[]))
    draw(tmp_path / 'a.png', ['cat'], image)
    (figure,) = caught
    titles = [axis.get_title() for axis in figure.axes]
    empty = 'F1 1.00, 0 wrong, 0 missed'
    assert titles == ['a.png, no objects', empty, empty]


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
    visualize_pictures.draw_classes([tmp_path / 'a.svg'], found)
    (figure,) = caught
    (axis,) = figure.axes
    labels = [text.get_text() for text in axis.get_yticklabels()]
    assert labels == ['all classes', 'cat', 'owl']
    widths = [[bar.get_width() for bar in bars] for bars in axis.containers]
    assert np.allclose(widths, [[50, 60, 30], [50, 40, 20], [50, 50, 10]])
    # Told apart without colours, too.
    marks = {line.get_marker() for line in axis.lines[:3]}
    assert len(marks) == 3
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
