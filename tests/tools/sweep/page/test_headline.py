"""The answer, and the sentence on every method."""

import pytest
from page.headline import make_headline, make_title

from tests.helpers.sweep_pages import gains, make_data

ALONE = gains(0, 0, 0, 0, 0)
BETTER = gains(0.02, 0.021, 0.019, 0.02, 0.02)
BEST = gains(0.03, 0.03, 0.03, 0.03, 0.031)
WORSE = gains(-0.02, -0.021, -0.019, -0.02, -0.02)
SAME = gains(0.001, 0, 0, -0.001, 0)


def title(data):
    return make_title(make_headline(data), data)


@pytest.mark.parametrize(
    'runs, expected',
    [
        (dict(kd=BETTER), 'kd is better than student.'),
        (dict(kd=WORSE), 'kd is worse than student.'),
        (dict(kd=SAME), 'kd is not shown to differ from student.'),
        (
            dict(kd=gains(0.1)),
            'kd has too few seeds to be compared with student.',
        ),
        (
            dict(kd=BETTER, ckd=BEST, pkd=WORSE),
            'ckd and kd are better and pkd is worse than student.',
        ),
        (
            dict(a=BETTER, b=BETTER, c=BETTER, d=BEST, e=SAME),
            '4 of 5 methods are better than student.',
        ),
        (
            dict(kd=SAME, ckd=SAME),
            'No method is shown to be better or worse than student.',
        ),
        (
            dict(kd=gains(0.1), ckd=gains(0.1)),
            'Too few seeds to say whether a method beats student.',
        ),
        (
            dict(kd={}),
            'No method has finished a seed that its baseline has, too.',
        ),
    ],
)
def test_answer(tmp_path, runs, expected):
    data = make_data(tmp_path, dict(student=ALONE, **runs), [0, 1, 2, 3, 4])
    assert title(data) == expected


def test_nothing_to_compare(tmp_path):
    data = make_data(tmp_path, dict(student=ALONE))
    assert title(data) == 'The plan names no baseline, so nothing is compared.'


def test_several_baselines(tmp_path):
    data = make_data(tmp_path, dict(a=ALONE, b=ALONE, kd=BETTER, ckd=SAME))
    data.plan.runs['b'].baseline = None
    data.plan.runs['ckd'].baseline = 'b'
    assert title(data) == '1 of 2 methods is better than the baseline.'


def test_gains_come_first_and_controls_are_left_out(tmp_path):
    runs = dict(student=ALONE, pkd=WORSE, twice=SAME, kd=BETTER, ckd=BEST)
    data = make_data(tmp_path, runs, controls=dict(ckd=['twice']))
    lines = make_headline(data)
    assert [line['name'] for line in lines] == ['ckd', 'kd', 'pkd']
    assert [line['kind'] for line in lines] == ['gain', 'gain', 'loss']
    assert lines[0]['text'] == 'is better than student'
    assert lines[1]['detail'] == (
        '+0.0200 coco/bbox_mAP, 95 % interval +0.0191 to +0.0209, 5 seeds'
    )


def test_details_say_what_is_missing(tmp_path):
    data = make_data(
        tmp_path,
        dict(student=ALONE, kd=gains(0.01), ckd=SAME, rld=BETTER, twice=BEST),
        controls=dict(rld=['twice']),
    )
    details = {line['name']: line['detail'] for line in make_headline(data)}
    assert details['kd'] == '+0.0100 coco/bbox_mAP, seeds: 1 of 5'
    assert details['ckd'].endswith('5 seeds: less than 0.003 in the mean')
    assert details['rld'].endswith('5 seeds: not above the control twice')
