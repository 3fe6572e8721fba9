"""Agreement of student and teacher, by hand."""

import pytest
import torch

from mmkd_plugin.distill.agreement import agreement

STUDENT = torch.tensor([[3.0, 0, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0]])
TEACHER = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]])
LABELS = torch.tensor([0, 1, 1, 1])


@pytest.mark.parametrize(
    'weights, same, right',
    [([1, 1, 1, 1], 2 / 4, 2 / 4), ([0.5, 2, 1, 0], 2 / 3, 1 / 3)],
)
def test_agreement(weights, same, right):
    weights = torch.tensor(weights)
    expected = dict(
        kd_agreement=torch.tensor(same),
        kd_teacher_acc=torch.tensor(right),
    )
    for labels in (LABELS, torch.eye(3)[LABELS] * 0.6 + 0.1):
        found = agreement(STUDENT, TEACHER, labels, weights, prefix='kd')
        torch.testing.assert_close(found, expected)


def test_no_sample_counts():
    found = agreement(STUDENT, TEACHER, LABELS, torch.zeros(4), prefix='x')
    assert found == dict(x_agreement=0, x_teacher_acc=0)
