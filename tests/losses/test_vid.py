"""VID: its formula, pinned values, variances that are trained."""

import math

import pytest
import torch

from mmkd_plugin.losses import VIDLoss, vid_loss
from tests.helpers.feature_cases import CASES, OTHER_CHANNELS, waves
from tests.helpers.feature_loss_checks import (
    FeatureLoss,
    FeatureLossChecks,
    TrainedChecks,
    call,
)


def oracle(student, teacher, boxes, parameters):
    def conv(x, name):
        weight = parameters[name][:, :, 0, 0]
        return torch.einsum('dc,bcyx->bdyx', weight, x)

    total = 0
    for i, (own, target) in enumerate(zip(student, teacher, strict=True)):
        hidden = conv(own, f'regressors.{i}.0.weight')
        hidden = conv(hidden * (hidden > 0), f'regressors.{i}.2.weight')
        mean = conv(hidden * (hidden > 0), f'regressors.{i}.4.weight')
        values = []
        for c, a in enumerate(parameters[f'spreads.{i}'].tolist()):
            variance = math.log(1 + math.exp(a)) + 1e-5
            gaps = (mean[:, c] - target[:, c]).flatten().tolist()
            values += [
                (gap**2 / variance + math.log(variance)) / 2 for gap in gaps
            ]
        total += math.fsum(values) / len(values)
    return torch.tensor(total, dtype=torch.float64)


class TestVID(TrainedChecks, FeatureLossChecks):
    loss = FeatureLoss(VIDLoss, oracle, {}, trained=True)


def test_pinned():
    variance = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    value = vid_loss(*waves(2, 3, 8, 6), variance=variance)
    assert value.shape == (2,)
    assert value.mean().item() == pytest.approx(0.4826924935, abs=1e-10)


def test_size():
    """Of ResNet-32x4 and ResNet-8x4."""
    loss = VIDLoss(
        student_channels=[64, 128, 256],
        teacher_channels=[64, 128, 256],
        loss_weight=1.0,
    )
    sizes = [
        sum(p.numel() for p in part.parameters())
        for part in (loss.regressors, loss.spreads)
    ]
    assert sizes == [258_048, 448]
    assert all(p.requires_grad for p in loss.parameters())
    assert {n for n in loss.state_dict() if 'spreads' in n} == {
        *('spreads.0', 'spreads.1', 'spreads.2')
    }


def test_variance_is_5_at_the_start():
    loss = TestVID.loss.build()
    for spread in loss.spreads:
        variance = torch.nn.functional.softplus(spread.double()) + 1e-5
        torch.testing.assert_close(
            variance, torch.full_like(variance, 5.0), rtol=1e-6, atol=0
        )


def test_best_variance_is_the_mean_square():
    """There the gradient for the variance is 0."""
    student, teacher = waves(4, 1, 5, 5)
    variance = (student - teacher).square().mean().reshape(1)
    variance.requires_grad_()
    vid_loss(student, teacher, variance=variance).mean().backward()
    assert variance.grad.item() == pytest.approx(0, abs=1e-12)


def test_value_may_be_negative():
    """Of a student that predicts well, as training goes on."""
    loss = TestVID.loss.build(OTHER_CHANNELS)
    teacher = tuple(0.01 * target for target in OTHER_CHANNELS.teacher)
    case = OTHER_CHANNELS._replace(teacher=teacher)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
    before = [spread.detach().clone() for spread in loss.spreads]
    for _ in range(100):
        optimizer.zero_grad()
        value = call(loss, case)
        value.backward()
        optimizer.step()
    assert value < 0
    for spread, first in zip(loss.spreads, before, strict=True):
        assert (spread < first).all()


@pytest.mark.parametrize('a', [-100.0, 100.0])
def test_extreme_variances(a):
    case = CASES['three levels']
    loss = TestVID.loss.build(case)
    for spread in loss.spreads:
        torch.nn.init.constant_(spread, a)
    value = call(loss, case)
    value.backward()
    assert value.isfinite()
    assert all(p.grad.isfinite().all() for p in loss.parameters())


def test_variances_have_no_weight_decay():
    assert VIDLoss.without_decay == ('spreads',)


def test_channels_of_the_teacher_that_it_was_not_told():
    loss = TestVID.loss.build(OTHER_CHANNELS, teacher_channels=[3, 5])
    message = r'level 1 differ in their channels: student \(2, 5, 3, 2\), '
    with pytest.raises(ValueError, match=message):
        call(loss, OTHER_CHANNELS)
