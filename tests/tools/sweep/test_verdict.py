"""When a method counts as better."""

import pytest
import verdict
from sweep_report import interval

STUDENT = dict(enumerate([0.400, 0.410, 0.420, 0.405, 0.415]))
MAP = 'coco/bbox_mAP'


def judged(gains, metric=MAP, student=None, **controls):
    """The verdict on a run that differs so from the student."""
    student = student or STUDENT
    own = {seed: student[seed] + gain for seed, gain in enumerate(gains)}
    values = {seed: own[seed] - student[seed] for seed in own}
    mean, low, high = interval([*values.values()])
    row = dict(
        last=own,
        difference=dict(values=values, mean=mean, low=low, high=high),
    )
    others = {
        name: {s: student[s] + gain for s, gain in enumerate(gains)}
        for name, gains in controls.items()
    }
    found = verdict.judge(metric, row, others)
    return ': '.join(filter(None, found.values()))


@pytest.mark.parametrize(
    'gains, expected',
    [
        ([0.003] * 5, 'gain'),
        ([0.010, 0.012, 0.009, 0.011, 0.013], 'gain'),
        ([0.0029] * 5, 'no difference shown: less than 0.003 in the mean'),
        ([-0.003] * 5, 'loss'),
        ([-0.0029] * 5, 'no difference shown: less than 0.003 in the mean'),
        ([0.0] * 5, 'no difference shown: less than 0.003 in the mean'),
        (
            [0.03, -0.01, 0.02, -0.01, 0.01],
            'no difference shown: the interval reaches below 0',
        ),
        (
            [-0.03, 0.01, -0.02, 0.01, -0.01],
            'no difference shown: the interval reaches above 0',
        ),
        ([0.05] * 4, 'too few seeds: 4 of 5'),
        ([-0.05], 'too few seeds: 1 of 5'),
        (
            [0.05, 0.05, 0.05, 0.05, float('nan')],
            f'no verdict: {MAP} is no number with seed 4',
        ),
    ],
)
def test_detection(gains, expected):
    assert judged(gains) == expected


@pytest.mark.parametrize(
    'gains, expected',
    [
        ([0.5, 0.5, 0.5], 'gain'),
        ([0.5, 0.5], 'too few seeds: 2 of 3'),
        ([0.4, 0.4, 0.4], 'no difference shown: less than 0.5 in the mean'),
        ([-0.6, -0.5, -0.7], 'loss'),
    ],
)
def test_classification(gains, expected):
    student = {0: 70.0, 1: 71.0, 2: 72.0}
    assert judged(gains, 'accuracy/top1', student) == expected


def test_a_gain_must_exceed_every_control():
    gains = [0.010, 0.012, 0.009, 0.011, 0.013]
    assert judged(gains, low=[0.001] * 5, less=[0.010] * 5) == 'gain'
    assert judged(gains, low=[0.001] * 5, same=gains) == (
        'no difference shown: not above the control same'
    )
    assert judged(gains, more=[0.011] * 4 + [0.012]) == (
        'no difference shown: not above the control more'
    )
    assert judged(gains, unfinished=[0.0] * 4) == (
        'too few seeds: 4 of 5 of the control unfinished'
    )
    # A loss is one, whatever a control does.
    assert judged([-0.01] * 5, worse=[-0.02] * 5) == 'loss'


def test_a_metric_without_a_rule():
    rules = {
        'coco/bbox_mAP': 5, 'test/bbox_mAP': 5, 'pascal_voc/mAP': 5,
        'lvis/bbox_AP': 5, 'accuracy/top1': 3, 'top1': 3,
    }  # fmt: skip
    for metric, seeds in rules.items():
        assert verdict.rule_of(metric).seeds == seeds
    for metric in (
        'coco/bbox_mAP_50', 'coco/segm_mAP', 'accuracy/top5', 'loss', 'xmAP'
    ):  # fmt: skip
        assert verdict.rule_of(metric) is None
    assert judged([0.1] * 5, 'coco/bbox_mAP_50') == (
        'no verdict: there is no rule for coco/bbox_mAP_50'
    )


def test_a_run_that_is_compared_with_none():
    assert verdict.judge(MAP, dict(last={}, difference=None), {}) is None
