"""tools/analysis_tools/inspect_report.py: the words for what was found."""

import inspect_report
import torch


def test_shapes_are_found_at_any_depth():
    one, two = torch.ones(1), torch.ones(2, 3)
    output = dict(a=[one, (two, None)], b=torch.tensor(0.0))
    assert list(inspect_report.shapes_in(output)) == [(1,), (2, 3), ()]


def test_problems_are_numbered():
    assert inspect_report.judge([]).endswith('Yes.')
    text = inspect_report.judge(['One.', 'Two.'])
    assert text.endswith('No:\n\n1. One.\n2. Two.')
