"""FitNets' hints: their formula, pinned value, masks, adapters."""

import math

import pytest
import torch

from mmkd_plugin.losses import FitNetLoss, fitnet_loss
from tests.helpers.feature_cases import USUAL, waves
from tests.helpers.feature_loss_checks import (
    FeatureLoss,
    FeatureLossChecks,
    NormalizedChecks,
    TrainedChecks,
    call,
)


def touches(box, row, column, height, width):
    """Whether a box and a cell have an area in common."""
    x1, y1, x2, y2 = (float(number) for number in box)
    across = min(x2, (column + 1) / width) - max(x1, column / width)
    along = min(y2, (row + 1) / height) - max(y1, row / height)
    return across > 0 and along > 0


def oracle(
    student,
    teacher,
    boxes,
    parameters,
    foreground_weight=None,
    background_weight=None,
):
    def mean(values):
        return math.fsum(values) / len(values) if values else 0

    total = 0
    for own, target in zip(student, teacher, strict=True):
        images, channels, height, width = own.shape
        inside, outside = [], []
        for b in range(images):
            for y in range(height):
                for x in range(width):
                    place = foreground_weight is not None and any(
                        touches(box, y, x, height, width) for box in boxes[b]
                    )
                    for c in range(channels):
                        gap = float(own[b, c, y, x] - target[b, c, y, x])
                        (inside if place else outside).append(gap**2)
        if foreground_weight is None:
            total += mean(outside)
        else:
            total += foreground_weight * mean(inside)
            total += background_weight * mean(outside)
    return torch.tensor(total, dtype=torch.float64)


def regressed(maps, parameters, relu):
    """The maps after convolution, batch normalisation and ReLU."""
    for i, own in enumerate(maps):

        def of(name, i=i):
            return parameters[f'adapters.{i}.{name}']

        weight = of('0.weight')[:, :, 0, 0]
        x = torch.einsum('dc,bcyx->bdyx', weight, own)
        x = x + of('0.bias')[:, None, None]
        mean = x.mean(dim=(0, 2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
        x = (x - mean) / (variance + 1e-5).sqrt()
        x = of('1.weight')[:, None, None] * x + of('1.bias')[:, None, None]
        yield x * (x > 0) if relu else x


def regressor_oracle(student, teacher, boxes, parameters, regressor):
    relu = regressor == 'conv_bn_relu'
    return sum(
        ((own - target) ** 2).mean()
        for own, target in zip(
            regressed(student, parameters, relu), teacher, strict=True
        )
    )


class TestFitNetNormalised(NormalizedChecks):
    loss = FeatureLoss(
        FitNetLoss,
        regressor_oracle,
        {},
        settings=dict(regressor='conv_bn'),
        trained=True,
    )


class TestFitNetRectified(NormalizedChecks):
    loss = FeatureLoss(
        FitNetLoss,
        regressor_oracle,
        {},
        settings=dict(regressor='conv_bn_relu'),
        trained=True,
    )


class TestFitNet(TrainedChecks, FeatureLossChecks):
    loss = FeatureLoss(FitNetLoss, oracle, {})


class TestFitNetInBoxes(TrainedChecks, FeatureLossChecks):
    loss = FeatureLoss(
        FitNetLoss,
        oracle,
        dict(foreground_weight=3.0, background_weight=0.5),
        takes_boxes=True,
    )


@pytest.mark.parametrize(
    'regressor, layers, parameters',
    [
        ('conv', 0, 16_512),
        ('conv_bn', 2, 16_768),
        ('conv_bn_relu', 3, 16_768),
    ],
)
def test_size_of_the_regressor(regressor, layers, parameters):
    loss = FitNetLoss(
        loss_weight=100.0,
        student_channels=[128],
        teacher_channels=[128],
        regressor=regressor,
    )
    assert sum(p.numel() for p in loss.parameters()) == parameters
    assert len([*loss.adapters[0].children()]) == layers


def test_normalised_regressor_needs_channels():
    message = '`student_channels` to be a list .* but got None'
    with pytest.raises(TypeError, match=message):
        FitNetLoss(loss_weight=1.0, regressor='conv_bn')


def test_unknown_regressor():
    message = "`regressor` to be one of conv, .*_relu but got 'bn'"
    with pytest.raises(ValueError, match=message):
        FitNetLoss(loss_weight=1.0, regressor='bn')


def test_pinned():
    value = fitnet_loss(*waves(2, 3, 8, 6))
    assert value.item() == pytest.approx(0.7852628541, abs=1e-10)


def maps_of(values):
    """One image and channel."""
    return [torch.tensor(values, dtype=torch.float32)[None, None]]


@pytest.mark.parametrize(
    'weights, expected', [((1, 0), 4), ((0, 1), 9), ((3, 12), 120)]
)
def test_foreground_and_background(weights, expected):
    """Each is a mean of its own, however many places it has."""
    loss = FitNetLoss(
        loss_weight=1.0,
        foreground_weight=weights[0],
        background_weight=weights[1],
    )
    student = maps_of([[2, 3, 3], [3, 3, 3]])
    boxes = [torch.tensor([[0.0, 0.0, 0.3, 0.4]])]
    value = loss(student, maps_of([[0] * 3] * 2), boxes)
    assert value.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    'box, expected', [([0, 0, 1, 1], 2 * 5), ([0, 0, 0, 0], 3 * 5)]
)
def test_all_or_nothing_inside(box, expected):
    """What has no place adds nothing."""
    loss = FitNetLoss(
        loss_weight=1.0, foreground_weight=2, background_weight=3
    )
    student = maps_of([[1, 3], [1, 3]])
    student[0].requires_grad_()
    value = loss(
        student, maps_of([[0, 0], [0, 0]]), [torch.tensor([box]).float()]
    )
    assert value.item() == expected
    assert torch.autograd.grad(value, student)[0].isfinite().all()


def test_decoupled_features():
    """The sum that the authors of DeFeat write, as an average over levels."""
    weights = dict(foreground_weight=3.0, background_weight=12.0)
    case = USUAL.to(torch.float64)
    levels = [
        oracle((own,), (target,), case.boxes, {}, **weights).item()
        for own, target in zip(case.student, case.teacher, strict=True)
    ]
    loss = FitNetLoss(loss_weight=1 / 6, **weights)
    expected = sum(level / 2 for level in levels) / 3
    assert call(loss, case).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    'weights', [dict(foreground_weight=1.0), dict(background_weight=0)]
)
def test_one_weight_alone(weights):
    with pytest.raises(ValueError, match='both or not at all but got .*None'):
        FitNetLoss(loss_weight=1.0, **weights)


@pytest.mark.parametrize(
    'boxes, error, message',
    [
        (None, TypeError, 'boxes of each image, .* but got None'),
        (torch.zeros(2, 4), TypeError, 'but got one tensor'),
        ([torch.zeros(1, 4)], ValueError, r'2 tensors .* got shapes \[\(1, 4'),
        ([torch.zeros(3), torch.zeros(1, 4)], ValueError, r'shapes \[\(3,\)'),
        ([torch.zeros(3, 5), torch.zeros(1, 4)], ValueError, r'\[\(3, 5\)'),
    ],
)
def test_boxes_that_are_none(boxes, error, message):
    with pytest.raises(error, match=message):
        call(TestFitNetInBoxes.loss.build(), USUAL._replace(boxes=boxes))
