"""Rows of length 1, and their gradient."""

import torch

from mmkd_plugin.losses.common.unit_rows import unit_rows
from tests.helpers.loss_cases import STUDENT


def test_equals_the_quotient():
    rows = STUDENT.double().requires_grad_()
    upstream = torch.randn(5, 7, dtype=torch.float64)
    results = []
    for units in (unit_rows(rows), rows / rows.norm(dim=1, keepdim=True)):
        (grad,) = torch.autograd.grad(units, rows, upstream)
        results.append((units.detach(), grad))
    torch.testing.assert_close(*results)


def test_rows_without_direction():
    rows = torch.zeros(3, 4)
    rows[1] = 1e-30
    rows[2, 0] = 5
    rows.requires_grad_()
    units = unit_rows(rows)
    units.backward(torch.ones(3, 4))
    assert units[:2].eq(0).all() and rows.grad[:2].eq(0).all()
    assert units[2].tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(rows.grad[2], torch.tensor([0, 0.2, 0.2, 0.2]))
