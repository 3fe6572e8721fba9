"""OFD: its partial distance, connectors and pinned values."""

import math

import pytest
import torch

from mmkd_plugin.losses import OFDLoss, ofd_loss
from tests.helpers.feature_cases import OTHER_CHANNELS, USUAL, waves
from tests.helpers.feature_loss_checks import (
    FeatureLoss,
    NormalizedChecks,
    call,
)


def distance(own, target):
    """The three cases of a number."""
    if target > 0 or own > target:
        return (own - target) ** 2
    return 0.0


def oracle(student, teacher, boxes, parameters):
    total = 0
    count = len(student)
    for i, (own, target) in enumerate(zip(student, teacher, strict=True)):
        weight, scale, shift = (
            parameters[f'connectors.{i}.{name}']
            for name in ('0.weight', '1.weight', '1.bias')
        )
        own = torch.einsum('dc,bcyx->bdyx', weight[:, :, 0, 0], own)
        mean = own.mean(dim=(0, 2, 3), keepdim=True)
        variance = ((own - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
        own = (own - mean) / (variance + 1e-5).sqrt()
        own = scale[:, None, None] * own + shift[:, None, None]
        numbers = zip(own.flatten().tolist(), target.flatten().tolist())
        part = math.fsum(distance(*pair) for pair in numbers) / len(own)
        total += part / 2 ** (count - 1 - i)
    return torch.tensor(total, dtype=torch.float64)


class TestOFD(NormalizedChecks):
    loss = FeatureLoss(OFDLoss, oracle, {}, trained=True)

    def test_says_what_it_reads(self):
        assert OFDLoss.kind == 'margins'
        assert OFDLoss.default_tap == dict(type='OFDTap')


def test_pinned():
    value = ofd_loss(*waves(2, 3, 8, 6))
    assert value.shape == (2,)
    assert value.mean().item() == pytest.approx(110.72675274, abs=1e-8)


def test_size():
    """Of ResNet-32x4 and ResNet-8x4."""
    loss = OFDLoss(
        student_channels=[64, 128, 256],
        teacher_channels=[64, 128, 256],
        loss_weight=0.001,
    )
    assert sum(p.numel() for p in loss.parameters()) == 86_912


def test_initial_weights():
    torch.manual_seed(0)
    loss = OFDLoss(
        student_channels=[64], teacher_channels=[128], loss_weight=0.001
    )
    conv, norm = loss.connectors[0]
    assert conv.bias is None
    deviation = conv.weight.std().item()
    assert deviation == pytest.approx(math.sqrt(2 / 128), rel=0.05)
    assert norm.weight.eq(1).all() and norm.bias.eq(0).all()


@pytest.mark.parametrize('target', [-1.0, 0.0])
def test_no_penalty_below_a_number_that_is_not_positive(target):
    own = torch.tensor([-3.0, target, 2.0]).view(3, 1, 1, 1).requires_grad_()
    values = ofd_loss(own, torch.full((3, 1, 1, 1), target))
    values.sum().backward()
    assert values.tolist() == [0, 0, (2 - target) ** 2]
    assert own.grad.flatten().tolist() == [0, 0, 2 * (2 - target)]


def test_coarse_levels_count_more():
    """The last by 1, and each one before by half of that after it."""
    loss = TestOFD.loss.build()
    values = [
        ofd_loss(connector(own), target).mean().item()
        for connector, own, target in zip(
            loss.connectors, USUAL.student, USUAL.teacher, strict=True
        )
    ]
    expected = values[0] / 4 + values[1] / 2 + values[2]
    assert call(loss, USUAL).item() == pytest.approx(expected, rel=1e-5)


def test_sum_over_places_and_mean_over_images():
    student, teacher = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert ofd_loss(student, teacher).tolist() == [48, 48]


def test_channels_of_the_teacher_that_it_was_not_told():
    loss = TestOFD.loss.build(OTHER_CHANNELS, teacher_channels=[3, 5])
    message = r'level 1 differ in their channels: student \(2, 5, 3, 2\), '
    with pytest.raises(ValueError, match=message):
        call(loss, OTHER_CHANNELS)
