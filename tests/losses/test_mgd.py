"""MGD: its formula, masks, generators, the scale of its sum."""

import math

import pytest
import torch

from mmkd_plugin.losses import MGDLoss
from tests.helpers.feature_cases import OTHER_CHANNELS, USUAL
from tests.helpers.feature_loss_checks import (
    FeatureLoss,
    FeatureLossChecks,
    TrainedChecks,
    call,
)


def conv3x3(x, weight, bias):
    *_, height, width = x.shape
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    total = bias[:, None, None]
    for i in range(3):
        for j in range(3):
            part = padded[:, :, i : i + height, j : j + width]
            total = total + torch.einsum(
                'dc,bcyx->bdyx', weight[:, :, i, j], part
            )
    return total


def oracle(student, teacher, boxes, parameters, mask_ratio):
    total = 0
    for i, (own, target) in enumerate(zip(student, teacher, strict=True)):
        images, _, height, width = own.shape
        for image, row in enumerate(torch.rand(images, 1, height, width)):
            kept = (row >= mask_ratio).to(own)
            generated = own[image : image + 1] * kept
            for layer in (0, 2):
                name = f'generators.{i}.{layer}'
                generated = conv3x3(
                    generated,
                    parameters[f'{name}.weight'],
                    parameters[f'{name}.bias'],
                )
                if layer == 0:
                    generated = generated * (generated > 0)
            total += ((generated - target[image]) ** 2).sum() / images
    return total


class TestMGD(TrainedChecks, FeatureLossChecks):
    loss = FeatureLoss(
        MGDLoss,
        oracle,
        {},
        settings=dict(mask_ratio=0.4),
        trained=True,
        random=True,
    )


def copying(loss):
    """Let the generators give what they get, where it is above 0."""
    for generator in loss.generators:
        for conv in (generator[0], generator[2]):
            torch.nn.init.dirac_(conv.weight)
            torch.nn.init.zeros_(conv.bias)
    return loss


def loss_of(mask_ratio, channels=1):
    loss = MGDLoss(
        mask_ratio=mask_ratio, loss_weight=1.0, teacher_channels=[channels]
    )
    return copying(loss)


def test_size_of_the_generators():
    loss = MGDLoss(
        mask_ratio=0.45, loss_weight=5e-7, teacher_channels=[256] * 4
    )
    assert sum(p.numel() for p in loss.parameters()) == 4 * 1_180_160
    assert loss.adapters is None


def test_adapter_only_if_asked_for():
    """By the channels of the student, also if they are the teacher's."""
    loss = MGDLoss(
        mask_ratio=0.45,
        loss_weight=5e-7,
        teacher_channels=[256],
        student_channels=[256],
    )
    names = {name for name, _ in loss.adapters.named_parameters()}
    assert names == {'0.weight', '0.bias'}
    assert sum(p.numel() for p in loss.adapters.parameters()) == 65_792


def test_without_adapter_equals_oracle():
    module = TestMGD.loss.build(student_channels=None)
    expected = TestMGD.loss.expected(module, USUAL)
    torch.testing.assert_close(
        call(module, USUAL).double(), expected, rtol=2e-5, atol=4e-6
    )


def test_initial_weights_are_those_of_torch():
    torch.manual_seed(0)
    loss = MGDLoss(mask_ratio=0.5, loss_weight=1.0, teacher_channels=[40])
    bound = 1 / math.sqrt(9 * 40)
    for conv in (loss.generators[0][0], loss.generators[0][2]):
        for parameter in (conv.weight, conv.bias):
            assert 0.9 * bound < parameter.abs().max() <= bound


@pytest.mark.parametrize('mask_ratio', [0.0, 0.3, 1.0])
def test_fraction_of_masked_places(mask_ratio):
    """Of maps of ones, each masked place adds 1 per channel."""
    ones = torch.ones(2, 3, 100, 50)
    loss = loss_of(mask_ratio, channels=3)
    torch.manual_seed(0)
    value = loss([ones], [ones], None).item() / (3 * 100 * 50)
    # Three standard deviations of 10,000 draws.
    assert value == pytest.approx(mask_ratio, abs=0.014)
    if mask_ratio in (0, 1):
        assert value == mask_ratio


def test_all_channels_of_a_place_are_masked_together():
    seen = []
    loss = loss_of(0.5, channels=4)
    loss.generators[0].register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    ones = torch.ones(3, 4, 6, 5)
    loss([ones], [ones], None)
    (masked,) = seen
    assert masked.eq(masked[:, :1]).all()
    assert set(masked.unique().tolist()) == {0, 1}
    images = masked[:, 0].flatten(1)
    assert not images[0].equal(images[1]) and not images[1].equal(images[2])


def test_masks_are_new_in_every_step_and_follow_the_seed():
    loss = loss_of(0.5)
    ones = torch.ones(2, 1, 9, 9)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    values = [loss([ones], [ones], None).item() for _ in range(4)]
    assert len(set(values)) > 1
    torch.set_rng_state(state)
    assert values == [loss([ones], [ones], None).item() for _ in range(4)]


def test_masked_places_count_and_teach_nothing():
    student = torch.ones(1, 1, 4, 4, requires_grad=True)
    teacher = torch.full((1, 1, 4, 4), 3.0)
    value = loss_of(1.0)([student], [teacher], None)
    assert value.item() == 16 * 9
    assert torch.autograd.grad(value, student)[0].eq(0).all()


def test_sum_over_places_and_mean_over_images():
    student, teacher = torch.ones(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)
    loss = loss_of(0.0, channels=2)
    assert loss([student], [teacher], None).item() == 18
    twice = [torch.cat([maps, maps]) for maps in (student, teacher)]
    assert loss(*([maps] for maps in twice), None).item() == 18
    larger = [maps.repeat(1, 1, 2, 2) for maps in (student, teacher)]
    assert loss(*([maps] for maps in larger), None).item() == 4 * 18


def test_channels_of_the_teacher_that_it_was_not_told():
    module = TestMGD.loss.build(OTHER_CHANNELS, teacher_channels=[3, 5])
    message = r'level 1 differ in their channels: student \(2, 5, 3, 2\), '
    with pytest.raises(ValueError, match=message):
        call(module, OTHER_CHANNELS)
    module = TestMGD.loss.build(
        teacher_channels=[3, 4, 3], student_channels=None
    )
    message = 'level 1 of the teacher has 3 channels, but .* says 4'
    with pytest.raises(ValueError, match=message):
        call(module, USUAL)


@pytest.mark.parametrize('value', [-0.1, 1.1, float('nan'), '0.5', True])
def test_mask_ratio_out_of_range(value):
    message = '`mask_ratio` to be a number from 0 to 1 but got'
    with pytest.raises(ValueError, match=message):
        TestMGD.loss.build(mask_ratio=value)
