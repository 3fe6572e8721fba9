"""MasKD: masks and shares of the tokens, warm-up, the file of the tokens."""

import os

import pytest
import torch

from mmkd_plugin.losses import MasKDLoss
from mmkd_plugin.losses.common.mask_tokens import MaskTokens
from tests.helpers.feature_cases import CASES, USUAL
from tests.helpers.feature_loss_checks import (
    FeatureLoss,
    FeatureLossChecks,
    TrainedChecks,
    assert_equals_oracle,
    attached,
    call,
    every_case,
    value_and_gradients,
)


def sigmoid(x):
    return 1 / (1 + (-x).exp())


def masks_of(image, tokens):
    """A mask (h, w) per token of an image (C, h, w)."""
    return [
        sigmoid(sum(t * part for t, part in zip(token, image, strict=True)))
        for token in tokens
    ]


def shares_of(image, parameters, name):
    """The pooled result of the two convolutions, place by place."""
    _, height, width = image.shape
    weight, bias = (parameters[f'{name}.0.{k}'] for k in ('weight', 'bias'))
    pooled = torch.zeros_like(bias)
    for y in range(height):
        for x in range(width):
            pooled += bias
            for i in (-1, 0, 1):
                for j in (-1, 0, 1):
                    if 0 <= y + i < height and 0 <= x + j < width:
                        pixel = image[:, y + i, x + j]
                        pooled += weight[:, :, i + 1, j + 1] @ pixel
    pooled = pooled / (height * width)
    logits = parameters[f'{name}.2.weight'][:, :, 0, 0] @ pooled
    exps = (logits + parameters[f'{name}.2.bias']).exp()
    return exps / exps.sum()


def level_oracle(own, target, parameters, level, with_own_masks):
    total = 0
    tokens = parameters[f'masks.{level}.mask_token']
    for image, wanted in zip(own, target, strict=True):
        masks = masks_of(wanted, tokens)
        if with_own_masks:
            own_masks = masks_of(image.detach(), tokens)
            masks = [m * n for m, n in zip(masks, own_masks, strict=True)]
        shares = shares_of(wanted, parameters, f'masks.{level}.prob')
        for mask, share in zip(masks, shares, strict=True):
            for c in range(len(wanted)):
                squared = (mask * image[c] - mask * wanted[c]) ** 2
                total += share * squared.sum() / mask.sum() / len(wanted)
    return total / len(own)


def oracle(student, teacher, boxes, parameters, tokens, warmup, num_tokens):
    pairs = enumerate(zip(student, teacher, strict=True))
    return sum(
        level_oracle(*pair, parameters, level, parameters['steps'] >= warmup)
        for level, pair in pairs
    )


class Prepared(FeatureLoss):
    """A loss after a step, with random tokens that are not those of a file."""

    def build(self, case=USUAL, **changes):
        module = super().build(case, **changes)
        for parameter in module.masks.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        module.steps += 1
        return module


def loss_with(**settings):
    settings = dict(tokens='tokens.pth', warmup=1000, num_tokens=4) | settings
    return Prepared(MasKDLoss, oracle, {}, settings, trained=True)


# The student's masks count, as constants: no difference quotient finds its
# gradient.
AFTER = loss_with(warmup=0)


class TestMasKD(TrainedChecks, FeatureLossChecks):
    loss = loss_with()


@every_case
def test_after_the_warmup_equals_oracle(case):
    assert_equals_oracle(AFTER, AFTER.build(case), case)


def test_size_of_the_tokens():
    loss = MasKDLoss(
        tokens='x',
        warmup=5000,
        loss_weight=1.0,
        student_channels=[256] * 2,
        teacher_channels=[256] * 2,
    )
    assert sum(p.numel() for p in loss.masks.parameters()) == 2 * 593_158
    assert sum(p.numel() for p in loss.adapters.parameters()) == 2 * 65_792
    assert not any(p.requires_grad for p in loss.masks.parameters())


def test_initial_tokens():
    torch.manual_seed(0)
    tokens = MaskTokens(200, 50)
    stds = {name: p.std().item() for name, p in tokens.named_parameters()}
    assert stds == pytest.approx(
        {
            'mask_token': 0.01,
            'prob.0.weight': (2 / (9 * 200)) ** 0.5,
            'prob.0.bias': 0,
            'prob.2.weight': (2 / 50) ** 0.5,
            'prob.2.bias': 0,
        },
        rel=0.03,
    )
    masks = tokens.masks(torch.randn(2, 200, 3, 4))
    assert masks.shape == (2, 50, 3, 4)
    torch.testing.assert_close(
        masks, torch.full_like(masks, 0.5), rtol=0, atol=0.2
    )


@pytest.mark.parametrize('size', [(5, 7), (1, 1), (1, 4), (2, 1)])
def test_shares_are_those_of_the_whole_convolution(size):
    torch.manual_seed(0)
    tokens = MaskTokens(4, 3).double()
    torch.nn.init.normal_(tokens.prob[0].bias)
    maps = torch.randn(2, 4, *size, dtype=torch.float64)
    shares = tokens.shares(maps)
    conv = tokens.prob[0]
    whole = torch.nn.functional.conv2d(
        maps, conv.weight, conv.bias, padding=1
    ).mean(dim=(2, 3), keepdim=True)
    expected = tokens.prob[2](whole).flatten(1).softmax(dim=1)
    torch.testing.assert_close(shares, expected)
    assert shares.std() > 0.01


def test_student_counts_after_the_warmup():
    """The step of that number is the first one with its masks."""
    loss = TestMasKD.loss.build(warmup=3)
    values = [call(loss, USUAL) for _ in range(4)]
    assert loss.steps == 5
    with_own = call(AFTER.build(), USUAL)
    without = call(TestMasKD.loss.build(), USUAL)
    assert values == [without, without, with_own, with_own]
    assert with_own != without


def test_masks_teach_the_student_nothing():
    """Its gradient is that of the distance, for masks that are constant."""
    _, grads = value_and_gradients(AFTER.build(), USUAL)
    module = AFTER.build().double()
    parameters = module.state_dict()
    case = attached(USUAL.to(torch.float64))
    for level, (own, target) in enumerate(zip(*case[:2])):
        value = level_oracle(
            module.adapters[level](own), target, parameters, level, True
        )
        expected = torch.autograd.grad(value, own)[0]
        torch.testing.assert_close(grads[level].double(), expected)


@pytest.mark.parametrize('loss', [TestMasKD.loss, AFTER])
def test_token_without_a_place_adds_nothing(loss):
    """Its mask is 0 in all of float32."""
    case = CASES['one image']
    loss = loss.build(case)
    teacher = tuple(target.abs() + 1 for target in case.teacher)
    for tokens in loss.masks:
        torch.nn.init.constant_(tokens.mask_token, -500)
    value, grads = value_and_gradients(loss, case._replace(teacher=teacher))
    assert value == 0
    assert all(grad.eq(0).all() for grad in grads)


def state_of(channels, count=4, levels=None):
    """Tokens as a training of them writes them, with its other weights."""
    torch.manual_seed(2)
    modules = [MaskTokens(c, count) for c in channels]
    state = {
        f'module.mask_modules.{level}.{name}': value + 1
        for level, module in enumerate(modules)
        for name, value in module.state_dict().items()
    }
    return {'backbone.conv1.weight': torch.zeros(3), **state}


@pytest.fixture
def tokens(tmp_path):
    """A file for the three levels of three channels."""
    path = tmp_path / 'tokens.pth'
    torch.save(dict(state_dict=state_of([3] * 3), meta=dict(iter=9)), path)
    return path


def loss_of(path, **changes):
    settings = dict(tokens=str(path), warmup=5, num_tokens=4, loss_weight=1.0)
    return MasKDLoss(**settings, **{**USUAL.channels(), **changes})


def test_tokens_are_read_by_the_first_step(tokens):
    loss = loss_of(tokens)
    call(loss, USUAL)
    for name, value in state_of([3] * 3).items():
        if 'mask_modules' in name:
            name = name.removeprefix('module.mask_modules.')
            assert torch.equal(loss.masks.state_dict()[name], value)
    os.remove(tokens)
    call(loss, USUAL)


def test_tokens_are_read_in_advance(tokens):
    loss = loss_of(tokens)
    loss.prepare()
    os.remove(tokens)
    value = call(loss, USUAL)
    assert value.isfinite() and value > 0


@pytest.mark.parametrize(
    'meta, told',
    [
        (dict(teacher='big.pth'), "are for the teacher 'big.pth'."),
        (dict(iter=9), 'do not name their teacher.'),
    ],
)
def test_teacher_of_the_tokens_is_told_once(tmp_path, meta, told):
    path = tmp_path / 'tokens.pth'
    torch.save(dict(state_dict=state_of([3] * 3), meta=meta), path)
    loss = loss_of(path)
    assert loss.prepare() == f'The tokens of {path} {told}'
    assert loss.prepare() == ''


def test_resumed_loss_has_its_tokens(tokens):
    """Though the file is another one by now."""
    loss = loss_of(tokens)
    call(loss, USUAL)
    other = loss_of('gone.pth')
    other.load_state_dict(loss.state_dict())
    assert torch.equal(call(other, USUAL), call(loss, USUAL))
    assert other.steps == 2


def test_tokens_of_a_type_of_their_own(tokens):
    loss = loss_of(tokens).double()
    call(loss, USUAL.to(torch.float64))
    assert {p.dtype for p in loss.parameters()} == {torch.float64}


def test_missing_file(tmp_path):
    loss = loss_of(tmp_path / 'gone.pth')
    message = r"The file of tokens '.*gone\.pth' was not found: give the path"
    with pytest.raises(FileNotFoundError, match=message):
        call(loss, USUAL)


@pytest.mark.parametrize(
    'state, message',
    [
        (
            state_of([3, 3, 3], count=6),
            r'0.mask_token has the shape \(6, 3\) instead of \(4, 3\); set',
        ),
        (
            state_of([3, 4, 3]),
            r'1.mask_token has the shape \(4, 4\) instead of \(4, 3\)',
        ),
        (state_of([3, 3]), r'2.mask_token has the shape None instead of'),
        (state_of([3] * 4), r'3.mask_token has the shape \(4, 3\) instead of'),
        (
            {'backbone.conv1.weight': torch.zeros(1)},
            "holds no tokens of MasKD.*the first one is 'backbone.conv1",
        ),
        ({}, 'holds no state dict'),
    ],
)
def test_file_that_does_not_fit(tmp_path, state, message):
    path = tmp_path / 'tokens.pth'
    torch.save(dict(state_dict=state), path)
    with pytest.raises(ValueError, match=message):
        loss_of(path).prepare()


def test_file_of_another_kind(tmp_path):
    path = tmp_path / 'tokens.pth'
    path.write_text('tokens')
    with pytest.raises(ValueError, match='could not be read'):
        loss_of(path).prepare()
    torch.save(dict(state_dict=state_of([3] * 3), meta=os.system), path)
    message = r"of tokens '.*' was refused: .* Give one that the training of"
    with pytest.raises(ValueError, match=message):
        loss_of(path).prepare()


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(tokens=5), '`tokens` to be a path or URL but got 5'),
        (dict(tokens=''), '`tokens` to be a path or URL but got'),
        (dict(warmup=-1), '`warmup` to be an integer >= 0 but got -1'),
        (dict(num_tokens=0), '`num_tokens` to be an integer >= 1 but got 0'),
    ],
)
def test_arguments_out_of_range(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        TestMasKD.loss.build(**changes)


def test_channels_of_the_teacher_that_it_was_not_told():
    module = TestMasKD.loss.build(teacher_channels=[3, 4, 3])
    message = r'level 1 differ in their channels: student \(2, 4, 4, 3\), '
    with pytest.raises(ValueError, match=message):
        call(module, USUAL)
