"""tools/analysis_tools/inspect_report.py: the words for what was found."""

from types import SimpleNamespace

import inspect_report
import pytest
import torch
from mmengine.runner import IterBasedTrainLoop

from mmkd_plugin.hooks.schedule import Schedule


def runner(iterations=False):
    loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    return SimpleNamespace(
        train_loop=loop if iterations else None, max_epochs=10, max_iters=90
    )


@pytest.mark.parametrize(
    'kwargs, iterations, words',
    [
        ({}, False, 'from epoch 1 to the end'),
        (dict(begin=2, end=5), False, 'from epoch 3 to epoch 5'),
        (dict(begin=9), False, 'from epoch 10 to the end'),
        (dict(begin=10), False, 'ends after epoch 10'),
        (dict(begin=89, by_epoch=False), True, 'from iteration 90 to the end'),
        (dict(begin=90, by_epoch=False), True, 'ends after iteration 90'),
        # How many iterations an epoch has depends on the data.
        (dict(begin=90, by_epoch=False), False, 'from iteration 91 to the'),
    ],
)
def test_schedule(kwargs, iterations, words):
    schedule = Schedule(**kwargs)
    text = inspect_report.describe_schedule(runner(iterations), schedule)
    assert words in text
    assert ('never' in text) == ('ends after' in words)


def test_shapes_are_found_at_any_depth():
    one, two = torch.ones(1), torch.ones(2, 3)
    output = dict(a=[one, (two, None)], b=torch.tensor(0.0))
    assert list(inspect_report.shapes_in(output)) == [(1,), (2, 3), ()]


def test_problems_are_numbered():
    assert inspect_report.judge([]).endswith('Yes.')
    text = inspect_report.judge(['One.', 'Two.'])
    assert text.endswith('No:\n\n1. One.\n2. Two.')
