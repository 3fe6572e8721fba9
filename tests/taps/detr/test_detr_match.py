"""Which queries are paired, and at which cost."""

import itertools

import torch
from torch.nn import functional as F

from mmkd_plugin.taps.detr.detr_match import Match, costs, match
from mmkd_plugin.taps.detr.detr_models import Predictions


def drawn(queries, seed, layers=2, images=2, classes=3):
    generator = torch.Generator().manual_seed(seed)
    shape = layers, images, queries
    logits = 3 * torch.randn(*shape, classes, generator=generator)
    boxes = torch.rand(*shape, 4, generator=generator)
    return Predictions(logits, boxes)


def cost(own_logits, own_box, logits, box):
    """Of one pair, as DETRDistill has it."""
    (cx, cy, w, h), (x, y, u, v) = own_box.tolist(), box.tolist()
    a = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
    b = [x - u / 2, y - v / 2, x + u / 2, y + v / 2]
    b = [min(max(c, 0), 1) for c in b]
    centre = [
        *((b[0] + b[2]) / 2, (b[1] + b[3]) / 2),
        *(b[2] - b[0], b[3] - b[1]),
    ]
    distance = sum(abs(p - q) for p, q in zip(own_box.tolist(), centre))
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    union = w * h + centre[2] * centre[3] - both
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (
        max(a[3], b[3]) - min(a[1], b[1])
    )
    giou = both / union - (hull - union) / hull
    bce = F.binary_cross_entropy_with_logits(
        own_logits, logits.sigmoid(), reduction='sum'
    )
    return bce.item() + 5 * distance - 2 * giou


def test_costs_pair_by_pair():
    own, other = drawn(4, seed=0), drawn(3, seed=1)
    found = costs(own.logits[0], own.boxes[0], *(x[0] for x in other))
    for image, i, j in itertools.product(range(2), range(4), range(3)):
        expected = cost(
            own.logits[0, image, i],
            own.boxes[0, image, i],
            other.logits[0, image, j],
            other.boxes[0, image, j],
        )
        assert abs(found[image, i, j].item() - expected) < 1e-4


def check_smallest(own, other):
    """No other pairs of an image and layer cost less."""
    rows, columns = match(own, other)
    few = min(own.logits.shape[2], other.logits.shape[2])
    assert rows.shape == columns.shape == (2, 2, few)
    for layer, image in itertools.product(range(2), range(2)):
        matrix = costs(
            own.logits[layer],
            own.boxes[layer],
            other.logits[layer],
            other.boxes[layer],
        )[image]
        found = matrix[rows[layer, image], columns[layer, image]].sum()
        assert len(set(rows[layer, image].tolist())) == few
        assert len(set(columns[layer, image].tolist())) == few
        if matrix.shape[0] > matrix.shape[1]:
            matrix = matrix.T
        best = min(
            sum(matrix[i, j].item() for i, j in enumerate(order))
            for order in itertools.permutations(range(matrix.shape[1]), few)
        )
        assert abs(found.item() - best) < 1e-3


def test_pairs_cost_least():
    check_smallest(drawn(5, seed=0), drawn(5, seed=1))


def test_other_number_of_queries():
    check_smallest(drawn(3, seed=0), drawn(5, seed=1))
    check_smallest(drawn(5, seed=0), drawn(3, seed=1))


def test_own_order_is_found_again():
    own = drawn(6, seed=2)
    own = own._replace(logits=4 * own.logits)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    other = Predictions(*(x[:, :, order] for x in own))
    rows, columns = match(own, other)
    assert (order[columns] == rows).all()


def test_nan_is_matched_too():
    own, other = drawn(4, seed=0), drawn(4, seed=1)
    own.logits[0, 0, 0, 0] = float('nan')
    own.boxes[0, 0, 1, 0] = float('inf')
    rows, _ = match(own, other)
    assert rows.shape == (2, 2, 4)


def test_questions_about_the_same_forwards_are_equal():
    own, other, first, second = drawn(4, 0), drawn(4, 1), [1], [1]
    ask = Match(own, other, first, second)
    again = Match(drawn(4, 0), other, first, second)
    assert ask == again and hash(ask) == hash(again)
    assert ask != Match(own, other, first, [1])
    with torch.autocast('cpu'):
        assert torch.equal(ask(None, None), match(own, other))
