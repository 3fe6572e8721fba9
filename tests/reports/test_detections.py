"""Judging detections."""

import pytest

from mmkd_plugin.reports import detections

TRUTH = dict(
    images=[dict(id=0), dict(id=1)],
    annotations=[
        dict(
            id=index + 1,
            image_id=index // 2,
            category_id=category,
            bbox=[10 * index, 20, 30, 40],
            area=1200,
            iscrowd=0,
        )
        for index, category in enumerate((3, 5, 5, 5))
    ],
    categories=[
        dict(id=i, name=name) for i, name in ((3, 'a'), (5, 'b'), (9, 'c'))
    ],
)
ITEMS = TRUTH['annotations']


def found(item, score=0.9, **changes):
    keys = ('image_id', 'category_id', 'bbox')
    return {**{key: item[key] for key in keys}, 'score': score, **changes}


def test_evaluate():
    perfect = detections.evaluate(TRUTH, [found(item) for item in ITEMS])
    # There is nothing of class c.
    classes = perfect.pop('classes')
    assert perfect == pytest.approx(dict(mAP=1, AP50=1, AP75=1))
    assert classes == dict(a=pytest.approx(1), b=pytest.approx(1), c=None)
    nothing = detections.evaluate(TRUTH, [])
    assert nothing == dict(
        mAP=0.0, AP50=0.0, AP75=0.0, classes=dict(a=0.0, b=0.0, c=None)
    )
    half = detections.evaluate(TRUTH, [found(ITEMS[0])])
    assert half['classes'] == dict(a=pytest.approx(1), b=0, c=None)
    assert half['mAP'] == pytest.approx(0.5)
    # IoU 24 / 36: right at 0.5, 0.55, 0.6 and 0.65.
    shifted = found(ITEMS[0], bbox=[0, 28, 30, 40])
    assert detections.evaluate(TRUTH, [shifted])['classes']['a'] == (
        pytest.approx(0.4)
    )


def test_what_is_given_is_left_alone():
    item = found(ITEMS[0])
    detections.evaluate(TRUTH, [item])
    assert item == found(ITEMS[0])


def test_match():
    first, second = ITEMS[:2]
    items = [
        found(first, score=0.5),
        found(first, score=0.9),
        found(second, category_id=9),
    ]
    right, taken = detections.match([first, second], items)
    assert sorted(right) == [False, False, True]
    assert taken == [True, False]
    # The more certain of two equal boxes is the right one.
    assert detections.match([first], items[:2]) == ([True, False], [True])
    assert detections.by_score(items[:2]) == [items[1], items[0]]
    assert detections.match([], items) == ([False] * 3, [])
    assert detections.match([first], []) == ([], [False])


def test_verdicts():
    first, second = ITEMS[:2]
    wrong, right = found(second, category_id=9, score=0.5), found(first)
    assert detections.verdicts([first, second], [wrong, right]) == [
        (second, 'missed'),
        (right, 'right'),
        (wrong, 'wrong'),
    ]
    assert detections.verdicts([], []) == []


def test_iou():
    boxes = [[0, 0, 2, 2], [1, 1, 2, 2], [5, 5, 1, 1]]
    expected = [1, 1 / 7, 0]
    assert detections.iou([0, 0, 2, 2], boxes) == pytest.approx(expected)


@pytest.mark.parametrize(
    'right, taken, expected',
    [
        ([True], [True], 1),
        ([], [], 1),
        ([False], [], 0),
        ([], [False], 0),
        # Precision 2/3, recall 1/2.
        ([True, False, True], [True, True, False, False], 4 / 7),
    ],
)
def test_f1(right, taken, expected):
    assert detections.f1(right, taken) == pytest.approx(expected)
