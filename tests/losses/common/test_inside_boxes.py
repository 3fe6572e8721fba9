"""Which cells of a map ground-truth boxes touch."""

import pytest
import torch

from mmkd_plugin.losses.common.inside_boxes import inside_boxes


def marked(boxes, height=2, width=4):
    boxes = [torch.tensor(boxes).float().reshape(-1, 4)]
    (found,) = inside_boxes(boxes, torch.zeros(1, 3, height, width))
    assert found.dtype == torch.bool
    return [''.join('.#'[place] for place in row) for row in found.int()]


@pytest.mark.parametrize(
    'boxes, expected',
    [
        ([], ['....', '....']),
        ([[0, 0, 1, 1]], ['####', '####']),
        # Ends on the lines between cells: the next cell is not touched.
        ([[0.25, 0, 0.5, 0.5]], ['.#..', '....']),
        ([[0.25, 0, 0.51, 0.51]], ['.##.', '.##.']),
        # Smaller than a cell, as at the coarse levels.
        ([[0.8, 0.7, 0.81, 0.71]], ['....', '...#']),
        # Two boxes that overlap; one in the padding's direction alone.
        ([[0, 0, 0.3, 0.2], [0.2, 0.1, 0.6, 0.2]], ['###.', '....']),
        ([[0, 0, 0.1, 1], [0.9, 0, 1, 0.1]], ['#..#', '#...']),
        # Beyond the image, as after a crop.
        ([[-0.5, 0.6, 0.1, 1.5], [1.1, 0, 1.2, 1]], ['....', '#...']),
    ],
)
def test_cells(boxes, expected):
    assert marked(boxes) == expected


def test_images_have_boxes_of_their_own():
    boxes = [torch.tensor([[0.0, 0, 1, 1]]), torch.zeros(0, 4)]
    found = inside_boxes(boxes, torch.zeros(2, 1, 3, 3))
    assert found[0].all() and not found[1].any()


def test_one_place():
    assert marked([[0.4, 0.4, 0.5, 0.6]], 1, 1) == ['#']
