"""What tokens leave of a map, and how much their masks overlap."""

import pytest
import torch

from mmkd_plugin.losses.common.mask_tokens import MaskTokens, overlap


def tokens_with(count, channels=3):
    """Tokens of which every number matters."""
    torch.manual_seed(count)
    tokens = MaskTokens(channels, count).double()
    for parameter in tokens.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return tokens


def overlap_oracle(masks):
    """Place by place, over the ordered pairs of different tokens."""
    values = []
    for image in masks.flatten(2).tolist():
        for i, first in enumerate(image):
            for j, second in enumerate(image):
                if i == j:
                    continue
                common = sum(a * b for a, b in zip(first, second))
                squares = sum(a * a for a in first)
                squares += sum(b * b for b in second)
                values.append(2 * common / squares)
    return sum(values) / len(values)


@pytest.mark.parametrize('shape', [(2, 6, 4, 5), (1, 2, 1, 1), (3, 3, 1, 7)])
def test_overlap_equals_oracle(shape):
    torch.manual_seed(0)
    masks = torch.rand(shape, dtype=torch.float64)
    assert overlap(masks).item() == pytest.approx(overlap_oracle(masks))


def test_overlap_of_equal_masks_and_of_masks_apart():
    mask = torch.rand(2, 1, 3, 4)
    assert overlap(mask.expand(-1, 5, -1, -1)).item() == pytest.approx(1)
    corners = torch.eye(4).view(1, 4, 2, 2)
    assert overlap(corners) == 0


def test_one_token_overlaps_with_none():
    masks = torch.rand(2, 1, 3, 4, requires_grad=True)
    value = overlap(masks)
    value.backward()
    assert value == 0
    assert masks.grad.eq(0).all()


def test_masks_without_a_place():
    """As of sigmoids that are 0 in float32, for all tokens or for one."""
    for count in (1, 3):
        masks = torch.rand(2, 3, 4, 5)
        masks[:, :count] = 0
        masks.requires_grad_()
        value = overlap(masks)
        value.backward()
        others = overlap_oracle(masks[:, 1:]) / 3 if count == 1 else 0
        assert value.item() == pytest.approx(others)
        assert masks.grad.isfinite().all()


@pytest.mark.parametrize('count', [1, 6])
def test_masked_map_equals_oracle(count):
    tokens = tokens_with(count)
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    masked, value = tokens(maps)
    assert value == overlap(tokens.masks(maps))
    shares = tokens.shares(maps)
    for image in range(2):
        for channel in range(3):
            for y in range(4):
                for x in range(5):
                    place = maps[image, :, y, x]
                    expected = 0
                    for t in range(count):
                        mask = (tokens.mask_token[t] * place).sum().sigmoid()
                        expected += shares[image, t] * mask * place[channel]
                    found = masked[image, channel, y, x]
                    torch.testing.assert_close(found, expected)


def test_every_number_is_trained_by_the_masked_map():
    tokens = tokens_with(3)
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    tokens(maps)[0].square().sum().backward()
    for name, parameter in tokens.named_parameters():
        assert parameter.grad.abs().min() > 0, name
