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
        kd_agreement=torch.tensor(100 * same),
        kd_teacher_acc=torch.tensor(100 * right),
    )
    for labels in (LABELS, torch.eye(3)[LABELS] * 0.6 + 0.1):
        found = agreement(STUDENT, TEACHER, labels, weights, prefix='kd')
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    'labels, weights, same, right',
    [
        # Column 2 is background: rows 0 and 1 are of an object.
        ([0, 1, 2, 2], [1, 1, 1, 1], 1 / 2, 1 / 2),
        ([0, 1, 2, 1], [1, 0, 1, 3], 1 / 2, 2 / 2),
    ],
)
def test_foreground_beside_all(labels, weights, same, right):
    reading = STUDENT, TEACHER, torch.tensor(labels), torch.tensor(weights)
    found = agreement(*reading, prefix='kd', background=1)
    assert found.pop('kd_fg_agreement') == 100 * same
    assert found.pop('kd_fg_teacher_acc') == 100 * right
    assert found == agreement(*reading, prefix='kd')


def test_no_foreground_is_no_number():
    background = torch.full((4,), 2)
    found = agreement(
        STUDENT, TEACHER, background, torch.ones(4), prefix='kd', background=1
    )
    assert found['kd_agreement'] == 50
    assert found['kd_fg_agreement'].isnan()
    assert found['kd_fg_teacher_acc'].isnan()


def test_no_sample_counts():
    found = agreement(STUDENT, TEACHER, LABELS, torch.zeros(4), prefix='x')
    assert found.keys() == {'x_agreement', 'x_teacher_acc'}
    assert all(value.isnan() for value in found.values())
