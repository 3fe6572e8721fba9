"""SP: its formula, pinned values, what does not matter to similarity."""

import math

import pytest
import torch

from mmkd_plugin.losses import SPLoss, sp_loss
from tests.helpers.feature_cases import USUAL, waves
from tests.helpers.feature_loss_checks import FeatureLoss, FeatureLossChecks


def oracle(student, teacher, boxes, parameters):
    def similarities(maps):
        rows = maps.flatten(1).tolist()
        found = []
        for row in rows:
            alike = [
                math.fsum(x * y for x, y in zip(row, other)) for other in rows
            ]
            length = math.sqrt(math.fsum(x * x for x in alike))
            found += [x / length for x in alike]
        return found

    total = 0
    for own, target in zip(student, teacher, strict=True):
        a, b = similarities(own), similarities(target)
        total += math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / (
            len(own) ** 2
        )
    return torch.tensor(total, dtype=torch.float64)


class TestSP(FeatureLossChecks):
    loss = FeatureLoss(SPLoss, oracle, {}, may_differ=('channels', 'sizes'))


def test_pinned():
    student, teacher = waves(4, 3, 8, 6)
    value = sp_loss(student, teacher[:, :2, :4])
    assert value.shape == (4,)
    assert value.mean().item() == pytest.approx(0.138703234057, abs=1e-12)


def test_of_two_images():
    """Orthogonal for the student, at 45 degrees for the teacher."""
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).view(2, 2, 1, 1)
    teacher = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).view(2, 2, 1, 1)
    # G of the teacher is [[1, 1], [1, 2]] before its rows are divided.
    first = (1 - 0.5**0.5) ** 2 + 0.5
    second = 0.2 + (1 - 0.8**0.5) ** 2
    values = sp_loss(student, teacher)
    expected = torch.tensor([first, second]) / 2
    torch.testing.assert_close(values, expected)


def test_scale_and_order_of_places_do_not_matter():
    student, teacher = USUAL.student[0], USUAL.teacher[0]
    value = sp_loss(student, teacher)
    torch.testing.assert_close(
        sp_loss(1e-5 * student.flip(1, 2, 3), -1e5 * teacher.mT), value
    )


@pytest.mark.parametrize('role', [0, 1])
def test_image_of_zeros(role):
    batch = [USUAL.student[0].clone(), USUAL.teacher[0].clone()]
    batch[role][0] = 0
    own = batch[0].requires_grad_()
    values = sp_loss(own, batch[1])
    # A row of length 1, less one of zeros.
    assert values[0].item() == pytest.approx(1 / 2)
    values.sum().backward()
    assert own.grad.abs().max() < 1


def test_one_image():
    """Nothing to compare; it is not counted, so that the run goes on."""
    student = torch.rand(1, 2, 3, 3, requires_grad=True)
    loss = SPLoss(loss_weight=3000.0)
    value = loss((student,), (torch.rand(1, 5, 2, 2),), None)
    assert value.item() == pytest.approx(0, abs=1e-9)
    assert torch.autograd.grad(value, student)[0].abs().max() < 1e-6
    assert not loss.counted((student,), (), None).any()
    assert loss.counted(USUAL.student, (), None).all()


def test_empty_batch():
    maps = torch.zeros(0, 2, 4, 4, requires_grad=True)
    value = SPLoss(loss_weight=1.0)((maps,), (maps,), None)
    assert value == 0
    assert torch.autograd.grad(value, maps)[0].shape == (0, 2, 4, 4)
