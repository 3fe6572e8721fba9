"""The threshold with the best F1."""

import random

import pytest

from mmkd_plugin.reports.detections import match
from mmkd_plugin.reports.threshold import best_threshold


def item(left, category=0, **more):
    return dict(category_id=category, bbox=[left, 0, 10, 10], **more)


def score(images, threshold):
    """F1 as its definition says, from precision and recall."""
    right = shown = annotated = 0
    for truth, found in images:
        kept = [one for one in found if one['score'] >= threshold]
        right += sum(match(truth, kept)[0])
        shown += len(kept)
        annotated += len(truth)
    if not right:
        return 0
    precision, recall = right / shown, right / annotated
    return 2 / (1 / precision + 1 / recall)


def make_images(seed):
    """Images with objects that are found, missed, found twice or wrongly."""
    source, images = random.Random(seed), []
    for _ in range(source.randrange(1, 5)):
        truth = [item(20 * i, i % 2) for i in range(source.randrange(4))]
        found = [
            item(
                20 * source.randrange(5) + source.choice([0, 2, 9]),
                source.randrange(2),
                # Few values, so that many are equal.
                score=source.randrange(1, 9) / 8 - 1e-3 * source.randrange(2),
            )
            for _ in range(source.randrange(9))
        ]
        images.append((truth, found))
    return images


@pytest.mark.parametrize('seed', range(60))
def test_no_threshold_is_better(seed):
    images = make_images(seed)
    scores = {one['score'] for _, found in images for one in found}
    best = max((score(images, value) for value in scores), default=0)
    threshold = best_threshold(images)
    if not best:
        assert threshold is None
        return
    assert score(images, threshold) == pytest.approx(best)
    # Of equally good ones it has the fewest detections.
    higher = [value for value in scores if value > threshold]
    fewer = [value for value in higher if value > min(higher)]
    assert all(score(images, value) < best - 1e-9 for value in fewer)


@pytest.mark.parametrize(
    'scores, expected',
    [
        # Right, then wrong: between the two, in as few digits as possible;
        # 0.87 itself lets in what has just that score.
        ((0.8765, 0.2), 0.87),
        ((0.8765, 0.8749), 0.876),
        ((0.8765, 0.87), 0.876),
        ((0.87654321, 0.87654320), 0.87654321),
        ((0.29, 0.1), 0.29),
        ((1e-30, 0.0), 1e-30),
    ],
)
def test_it_is_a_short_number(scores, expected):
    good, bad = scores
    images = [([item(0)], [item(0, score=good), item(50, score=bad)])]
    threshold = best_threshold(images)
    assert bad < threshold <= good
    assert threshold == expected


def test_equal_scores_are_not_separated():
    wrong = [item(50, score=0.5) for _ in range(3)]
    images = [([item(0), item(20)], [item(0, score=0.5), *wrong])]
    assert best_threshold(images) == 0.5
    better = [([item(0), item(20)], [item(0, score=0.6), *wrong])]
    assert best_threshold(better) == 0.6


def test_nothing_to_choose_from():
    assert best_threshold([]) is None
    assert best_threshold([([item(0)], [])]) is None
    assert best_threshold([([], [item(0, score=0.9)])]) is None
    assert best_threshold([([item(0, 1)], [item(0, 0, score=0.9)])]) is None
