"""Images in rows, and what is drawn on them."""

import numpy as np
import pytest

pytest.importorskip('matplotlib')

from mmkd_plugin.reports import boxes  # noqa: E402
from mmkd_plugin.reports.drawing import pyplot  # noqa: E402

GREEN = '#009e73'


def show(*sizes, columns=2):
    images = [np.zeros((high, wide, 3), np.uint8) for wide, high in sizes]
    return boxes.show_images(images, columns, width=7, head=0.2, foot=0.2)


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot().close('all')


def item(*box):
    return dict(category_id=0, bbox=list(box))


@pytest.mark.parametrize(
    'sizes, width, height',
    [
        ([(400, 300)], 7, 3.48 * 0.75 + 0.4),
        # A tall image is no higher than 1.5 widths.
        ([(100, 1000)], 7, 3.48 * 1.5 + 0.4),
        # Wide ones make the figure wider, up to twice.
        ([(300, 100)], 10.5, 5.23 / 3 + 0.4),
        ([(900, 100)] * 2, 14, 2 * 6.98 / 9 + 0.6),
        # One wide image of several does not.
        ([(400, 400), (900, 100), (400, 400)], 7, 3.48 * (2 + 1 / 9) + 0.8),
    ],
)
def test_sizes(sizes, width, height):
    figure, axes = show(*sizes)
    assert axes.shape == (len(sizes), 2)
    assert figure.get_size_inches() == pytest.approx([width, height])


def test_boxes_outside_do_not_move_the_image():
    _, axes = show((40, 30))
    axis = axes[0, 0]
    before = axis.get_xlim(), axis.get_ylim()
    boxes.draw_item(axis, item(30, 20, 100, 100), 'wrong', GREEN)
    assert (axis.get_xlim(), axis.get_ylim()) == before


def test_verdicts_differ_without_colours():
    _, axes = show((40, 30))
    seen = []
    for verdict, axis in zip(('right', 'missed'), axes[0]):
        boxes.draw_item(axis, item(5, 5, 9, 9), verdict, GREEN)
        (patch,) = axis.patches
        seen.append((patch.get_linewidth() > 0, patch.get_facecolor()[3] > 0))
        assert not axis.lines
    assert seen == [(True, False), (False, True)]
    boxes.draw_item(axes[0, 0], item(5, 5, 9, 9), 'wrong', GREEN)
    assert [line.get_marker() for line in axes[0, 0].lines] == ['x']


@pytest.mark.parametrize(
    'box',
    [
        (0, 0, 40, 30),
        (38, 20, 2, 5),
        (-5, -5, 10, 10),
        (35, 28, 20, 20),
        (20, 1, 5, 5),
        (-9, 12, 60, 4),
    ],
)
def test_texts_stay_inside(box):
    figure, axes = show((40, 30))
    axis = axes[0, 0]
    boxes.draw_text(axis, item(*box), 'person 0.87', GREEN, 5)
    (text,) = axis.texts
    figure.canvas.draw()
    inside, place = axis.get_window_extent(), text.get_window_extent()
    assert place.x0 >= inside.x0 - 1 and place.x1 <= inside.x1 + 1
    assert place.y0 >= inside.y0 - 1 and place.y1 <= inside.y1 + 1
    # Matplotlib leaves out one that is anchored outside.
    assert text._check_xy(figure.canvas.get_renderer())
