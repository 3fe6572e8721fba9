"""Losses that keep their own gradient, a few channels at a time."""

import pytest
import torch

from mmkd_plugin.losses import cwd_loss, pkd_loss
from mmkd_plugin.losses.common import by_channels as module
from mmkd_plugin.losses.common.by_channels import by_channels
from tests.helpers.feature_cases import draw

CASE = draw(2, (5, 4, 3), seed=0)
MAPS = CASE.student[0], CASE.teacher[0]


def squares(student, teacher):
    gap = student - teacher
    return gap.square().sum(), 2 * gap


def value_and_gradient(loss, *maps):
    student = maps[0].clone().requires_grad_()
    value = loss(student, *maps[1:])
    return value.detach(), torch.autograd.grad(3 * value, student)[0]


@pytest.mark.parametrize(
    'size, parts', [(1, [1] * 5), (48, [2, 2, 1]), (119, [4, 1]), (120, [5])]
)
def test_channels_at_a_time(size, parts, monkeypatch):
    monkeypatch.setattr(module, 'SIZE', size)
    seen = []

    def part(student, teacher):
        assert not torch.is_grad_enabled()
        assert student.shape == teacher.shape
        seen.append(student.shape[1])
        return squares(student, teacher)

    value, grad = value_and_gradient(
        lambda *maps: by_channels(part, *maps), *MAPS
    )
    assert seen == parts
    gap = MAPS[0] - MAPS[1]
    torch.testing.assert_close(value, gap.square().sum())
    torch.testing.assert_close(grad, 6 * gap)


@pytest.mark.parametrize(
    'loss', [pkd_loss, lambda s, t: cwd_loss(s, t, tau=2.0)]
)
def test_losses_do_not_depend_on_the_parts(loss, monkeypatch):
    expected = value_and_gradient(loss, *MAPS)
    monkeypatch.setattr(module, 'SIZE', 1)
    torch.testing.assert_close(value_and_gradient(loss, *MAPS), expected)


def test_one_map_is_kept():
    """Neither of the maps, nor anything of the steps to the value."""
    kept = []

    def keep(tensor):
        kept.append(tensor.shape)
        return tensor

    student = MAPS[0].clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        by_channels(squares, student, MAPS[1])
    assert kept == [student.shape]


def test_backward_again():
    student = MAPS[0].clone().requires_grad_()
    value = by_channels(squares, student, MAPS[1])
    first = torch.autograd.grad(value, student, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(value, student), first)


def test_gradient_of_the_gradient_is_refused():
    student = MAPS[0].clone().requires_grad_()
    value = by_channels(squares, student, MAPS[1]).square()
    (grad,) = torch.autograd.grad(value, student, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_no_images():
    student = torch.zeros(0, 3, 2, 2, requires_grad=True)
    value = by_channels(squares, student, student.detach())
    assert value.item() == 0
    assert torch.autograd.grad(value, student)[0].shape == (0, 3, 2, 2)
