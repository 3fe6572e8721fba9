"""Boxes as corners, cut at the edges of an image, and their overlap."""

import torch

from mmkd_plugin.taps.boxes import clipped, corners, pairwise_giou


def drawn(*shape, seed=0):
    """Corners, some of which lie apart."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(*shape, 2, generator=generator)
    size = 0.05 + 0.4 * torch.rand(*shape, 2, generator=generator)
    return torch.cat([first, first + size], -1)


def test_giou_pair_by_pair():
    own, other = drawn(2, 5, seed=0), drawn(2, 4, seed=1)
    found = pairwise_giou(own, other)
    assert found.shape == (2, 5, 4)
    for image in range(2):
        for i, (ax, ay, au, av) in enumerate(own[image].tolist()):
            for j, (bx, by, bu, bv) in enumerate(other[image].tolist()):
                width = max(0, min(au, bu) - max(ax, bx))
                height = max(0, min(av, bv) - max(ay, by))
                both = width * height
                union = (au - ax) * (av - ay) + (bu - bx) * (bv - by) - both
                hull = (max(au, bu) - min(ax, bx)) * (
                    max(av, bv) - min(ay, by)
                )
                expected = both / union - (hull - union) / hull
                assert abs(found[image, i, j].item() - expected) < 1e-5
    assert found.min() < 0 < found.max()


def test_giou_of_boxes_without_area():
    point = torch.tensor([[[0.5, 0.5, 0.5, 0.5]]])
    assert pairwise_giou(point, point).isfinite().all()


def test_corners_are_of_centre_and_size():
    boxes = torch.tensor([[0.4, 0.6, 0.2, 0.4]])
    expected = torch.tensor([[0.3, 0.4, 0.5, 0.8]])
    torch.testing.assert_close(corners(boxes), expected)


def test_clipped():
    inside = torch.tensor([[0.5, 0.5, 0.2, 0.2]])
    torch.testing.assert_close(clipped(inside), inside)
    outside = torch.tensor([[0.9, 0.05, 0.4, 0.3]])
    torch.testing.assert_close(
        corners(clipped(outside)), torch.tensor([[0.7, 0.0, 1.0, 0.2]])
    )
