"""Masks of foreground and background: which places a box covers."""

import math

import pytest
import torch

from mmkd_plugin.losses.common.box_masks import box_masks


def oracle(boxes, height, width):
    """Foreground and background of one image, place by place."""
    foreground = torch.zeros(height, width, dtype=torch.float64)
    for x1, y1, x2, y2 in boxes.tolist():
        first_x, last_x = math.floor(x1 * width), math.ceil(x2 * width)
        first_y, last_y = math.floor(y1 * height), math.ceil(y2 * height)
        area = (last_x - first_x + 1) * (last_y - first_y + 1)
        for y in range(first_y, min(last_y, height - 1) + 1):
            for x in range(first_x, min(last_x, width - 1) + 1):
                foreground[y, x] = max(foreground[y, x], 1 / area)
    background = (foreground == 0).double()
    places = int(background.sum())
    return foreground, background / places if places else background


@pytest.mark.parametrize('height, width', [(8, 6), (5, 7), (1, 9), (1, 1)])
@pytest.mark.parametrize('count', [0, 1, 4])
def test_equals_oracle(count, height, width):
    generator = torch.Generator().manual_seed(count)
    boxes = [
        torch.rand(n, 2, 2, generator=generator).sort(dim=1)[0].flatten(1)
        for n in (count, 2)
    ]
    maps = torch.zeros(2, 3, height, width, dtype=torch.float64)
    found = box_masks(boxes, maps)
    for i, rows in enumerate(boxes):
        expected = oracle(rows, height, width)
        for mask, wanted in zip(found, expected):
            torch.testing.assert_close(mask[i, 0], wanted)


def mask_of(*boxes, height=4, width=8):
    rows = torch.tensor(boxes).view(-1, 4)
    foreground, background = box_masks(
        [rows], torch.zeros(1, 2, height, width)
    )
    assert not (foreground * background).any()
    return foreground[0, 0], background[0, 0]


def test_cells_at_the_edges_are_inside():
    """Both ends count: from 0.25 to 0.5 of eight are columns 2 to 4."""
    foreground, _ = mask_of([0.25, 0.25, 0.5, 0.5])
    expected = torch.zeros(4, 8)
    expected[1:3, 2:5] = 1 / 6
    torch.testing.assert_close(foreground, expected)


def test_box_up_to_the_border_has_the_area_of_one_column_and_row_more():
    foreground, background = mask_of([0.0, 0.0, 1.0, 1.0])
    torch.testing.assert_close(foreground, torch.full((4, 8), 1 / 45))
    assert not background.any()


def test_smallest_box_counts_where_several_overlap():
    large, small = [0.0, 0.0, 0.8, 0.9], [0.3, 0.3, 0.4, 0.4]
    foreground, _ = mask_of(large, small)
    alone, _ = mask_of(small)
    assert torch.equal(foreground[alone > 0], alone[alone > 0])
    assert foreground.max() == alone.max() > foreground.min()
    assert torch.equal(foreground, mask_of(small, large)[0])


def test_background_of_an_image_sums_to_one():
    for boxes in ([], [[0.1, 0.1, 0.3, 0.3]]):
        _, background = mask_of(*boxes)
        torch.testing.assert_close(background.sum(), torch.tensor(1.0))
        assert background.unique().numel() == 1 + bool(boxes)


@pytest.mark.parametrize(
    'box', [[0.5, 0.5, 0.3, 0.3], [0.5, 0.2, 0.375, 0.9], [1.5, 0, 2, 1]]
)
def test_box_without_a_place(box):
    """Turned inside out, or outside of the map."""
    foreground, background = mask_of(box)
    assert not foreground.any()
    torch.testing.assert_close(background, torch.full((4, 8), 1 / 32))


@pytest.mark.parametrize(
    'boxes',
    [
        [torch.zeros(1, 4)],
        [torch.zeros(1, 4), torch.zeros(2, 5)],
        [torch.zeros(4), torch.zeros(1, 4)],
    ],
)
def test_boxes_of_another_shape(boxes):
    message = r'boxes of 2 images, each of shape \(n, 4\), but got shapes'
    with pytest.raises(ValueError, match=message):
        box_masks(boxes, torch.zeros(2, 3, 4, 4))
