"""Binary divergences: values, gradient, masks, some rows at a time."""

import pytest
import torch

from mmkd_plugin.losses.common.binary import (
    binary_class_kl,
    binary_kl,
    by_rows,
    signs,
)
from mmkd_plugin.losses.common.divergence import weighted_sum
from tests.helpers.loss_cases import LABELS, STUDENT, TEACHER


def plain(student, teacher, tau):
    """Of each class, by the formula."""
    p, q = (student / tau).sigmoid(), (teacher / tau).sigmoid()
    return q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('tau', [1.0, 3.0])
def test_values_and_gradient(tau, masked):
    student = STUDENT.double().requires_grad_()
    teacher = TEACHER.double()
    mask = (teacher > 1) if masked else None
    each = plain(student, teacher, tau)
    expected = (each.masked_fill(mask, 0) if masked else each).sum(1)
    found = binary_kl(student, teacher, tau=tau, masked=mask)
    torch.testing.assert_close(found.values, expected)
    found = weighted_sum(student, (2.0, found))
    expected = 2 * tau**2 * expected
    torch.testing.assert_close(
        *(torch.autograd.grad(x.sum(), student)[0] for x in (found, expected))
    )


def test_one_class_each():
    student = STUDENT.double().requires_grad_()
    teacher = TEACHER.double()
    top = teacher.argmax(1)
    rows = torch.arange(5)
    expected = plain(student[rows, LABELS], teacher[rows, top], 2.0)
    found = binary_class_kl(student, teacher, LABELS, top, tau=2.0)
    torch.testing.assert_close(found.values, expected)
    found = weighted_sum(student, (1.0, found))
    torch.testing.assert_close(
        *(
            torch.autograd.grad(x.sum(), student)[0]
            for x in (found, 4 * expected)
        )
    )


def test_digits_of_probabilities_near_1():
    """In float32 1 - p would be 0 for both."""
    student, teacher = torch.tensor([[21.0]]), torch.tensor([[25.0]])
    for sign in (1, -1):
        found = binary_kl(sign * student, sign * teacher, tau=1.0)
        wide = plain(-student.double(), -teacher.double(), 1.0)
        torch.testing.assert_close(
            found.values.double(), wide[0], rtol=1e-4, atol=0
        )


@pytest.mark.parametrize('rows', [0, 1, 5, 6])
def test_by_rows(rows, monkeypatch):
    sizes = []

    def part(own, other):
        sizes.append(len(own))
        return (own * other).sum(1), other

    monkeypatch.setattr('mmkd_plugin.losses.common.binary.SIZE', 2 * 3 + 1)
    own, other = torch.randn(2, rows, 3)
    values, gradient = by_rows(part, own, other)
    torch.testing.assert_close(values, (own * other).sum(1))
    assert torch.equal(gradient, other)
    assert sizes == {0: [0], 1: [1], 5: [2, 2, 1], 6: [2, 2, 2]}[rows]


def test_signs_are_never_0():
    logits = torch.tensor([-2.0, -0.0, 0.0, 3.0])
    assert signs(logits).tolist() == [-1, 1, 1, 1]
