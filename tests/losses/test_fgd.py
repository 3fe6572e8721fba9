"""FGD: attention, masks, global context, images without boxes."""

import math

import pytest
import torch

from mmkd_plugin.losses import FGDLoss
from mmkd_plugin.losses.common.gc_block import GCBlock
from mmkd_plugin.losses.fgd import attention
from tests.helpers.feature_cases import CASES, USUAL
from tests.helpers.feature_loss_checks import (
    FeatureLoss,
    FeatureLossChecks,
    TrainedChecks,
    attached,
    call,
    value_and_gradients,
)

NUMBERS = dict(alpha=1.0, beta=0.5, gamma=0.3, lambda_=0.2, tau=0.5)
LN_EPS = 1e-5


def softmax(values):
    exps = values.exp()
    return exps / exps.sum()


def attentions(own, tau):
    """Of one image (C, h, w): over places (h, w), over channels (C,)."""
    channels, height, width = own.shape
    size = sum(own[c].abs() for c in range(channels)) / channels
    means = torch.stack([own[c].abs().mean() for c in range(channels)])
    places = softmax(size / tau) * height * width
    return places, softmax(means / tau) * channels


def masks(boxes, height, width):
    foreground = torch.zeros(height, width, dtype=torch.float64)
    for x1, y1, x2, y2 in boxes.tolist():
        columns = range(math.floor(x1 * width), math.ceil(x2 * width) + 1)
        rows = range(math.floor(y1 * height), math.ceil(y2 * height) + 1)
        value = 1 / (len(columns) * len(rows))
        for y in rows:
            for x in columns:
                if y < height and x < width:
                    foreground[y, x] = max(foreground[y, x], value)
    outside = [
        (y, x)
        for y in range(height)
        for x in range(width)
        if foreground[y, x] == 0
    ]
    background = torch.zeros_like(foreground)
    for place in outside:
        background[place] = 1 / len(outside)
    return foreground, background


def with_context(own, parameters, name):
    """An image (C, h, w) after its block of global context."""

    def of(key):
        return parameters[f'{name}.{key}'].flatten(1)

    pixels = own.flatten(1)
    keys = (of('key.weight') @ pixels)[0]
    context = pixels @ softmax(keys + parameters[f'{name}.key.bias'])
    hidden = of('add.0.weight') @ context + parameters[f'{name}.add.0.bias']
    variance = ((hidden - hidden.mean()) ** 2).mean()
    hidden = (hidden - hidden.mean()) / (variance + LN_EPS).sqrt()
    hidden = hidden * of('add.1.weight').flatten()
    hidden = hidden + of('add.1.bias').flatten()
    hidden = hidden * (hidden > 0)
    added = of('add.3.weight') @ hidden + parameters[f'{name}.add.3.bias']
    return own + added[:, None, None]


def oracle(
    student, teacher, boxes, parameters, alpha, beta, gamma, lambda_, tau
):
    total = 0
    for level, maps in enumerate(zip(student, teacher, strict=True)):
        for own, target, rows in zip(*maps, boxes, strict=True):
            foreground, background = masks(rows, *own.shape[1:])
            mask = alpha * foreground + beta * background
            places, channels = attentions(target, tau)
            own_places, own_channels = attentions(own, tau)
            for c in range(len(own)):
                weight = mask * places * channels[c]
                total += (weight * (target[c] - own[c]) ** 2).sum()
            total += gamma * (places - own_places).abs().sum()
            total += gamma * (channels - own_channels).abs().sum()
            relation = with_context(
                target, parameters, f'teacher_blocks.{level}'
            ) - with_context(own, parameters, f'student_blocks.{level}')
            total += lambda_ * (relation**2).sum()
    return total / len(student[0])


class TestFGD(TrainedChecks, FeatureLossChecks):
    loss = FeatureLoss(
        FGDLoss, oracle, NUMBERS, trained=True, takes_boxes=True
    )


def trained(loss):
    """The loss with blocks that add something."""
    generator = torch.Generator().manual_seed(0)
    for parameter in loss.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return loss


@pytest.mark.parametrize('name', ['levels of a backbone', 'one level'])
def test_trained_blocks_equal_oracle(name):
    """At the start they add nothing."""
    case = CASES[name]
    module = trained(TestFGD.loss.build(case))
    expected = TestFGD.loss.expected(module, case)
    fresh = TestFGD.loss.expected(TestFGD.loss.build(case), case)
    assert abs(fresh - expected) > 0.1
    torch.testing.assert_close(
        call(module, case).double(), expected, rtol=2e-5, atol=4e-6
    )


def test_size_of_the_blocks():
    loss = FGDLoss(**NUMBERS, teacher_channels=[256] * 4)
    assert sum(p.numel() for p in loss.parameters()) == 4 * 132_866
    assert loss.adapters is None


def test_initial_weights():
    torch.manual_seed(0)
    block = GCBlock(2000)
    assert block.key.weight.std().item() == pytest.approx(
        math.sqrt(2 / 2000), rel=0.05
    )
    assert block.key.bias.eq(0).all()
    first, norm, _, last = block.add
    assert last.weight.eq(0).all() and last.bias.eq(0).all()
    assert norm.weight.eq(1).all() and norm.bias.eq(0).all()
    assert norm.eps == LN_EPS
    bound = 1 / math.sqrt(2000)
    for parameter in (first.weight, first.bias):
        assert 0.9 * bound < parameter.abs().max() <= bound
    assert GCBlock(1)(torch.ones(2, 1, 3, 3)).eq(0).all()


def only(**numbers):
    """A loss of some of the terms."""
    return dict(alpha=0.0, beta=0.0, gamma=0.0, lambda_=0.0) | numbers


def test_relation_at_the_start_is_the_summed_square():
    module = TestFGD.loss.build(student_channels=None, **only(lambda_=1.0))
    expected = sum(
        ((own - target) ** 2).sum() / len(own)
        for own, target in zip(USUAL.student, USUAL.teacher)
    )
    torch.testing.assert_close(call(module, USUAL), expected)


def test_pinned_attention():
    numbers = torch.arange(1, 289, dtype=torch.float64)
    student = (0.1 * numbers).sin().view(2, 3, 8, 6)
    teacher = (0.07 * numbers).cos().view(2, 3, 8, 6)
    for maps in (student, teacher):
        places, channels = attention(maps, 0.5)
        assert places.shape == (2, 1, 8, 6) and channels.shape == (2, 3, 1, 1)
        sums = places.sum(dim=(1, 2, 3)), channels.sum(dim=(1, 2, 3))
        torch.testing.assert_close(sums[0], sums[0].new_full((2,), 48))
        torch.testing.assert_close(sums[1], sums[1].new_full((2,), 3))
    module = FGDLoss(**only(gamma=1.0), tau=0.5, teacher_channels=[3])
    boxes = [torch.zeros(0, 4)] * 2
    value = module.double()([student], [teacher], boxes)
    assert value.item() == pytest.approx(21.398334234, abs=6e-10)


@pytest.mark.parametrize('boxes', [0, 1])
def test_batch_without_boxes(boxes):
    """All of it is background; the foreground has nothing and adds 0."""
    case = USUAL._replace(
        boxes=[torch.rand(boxes, 4).sort()[0]] + [torch.zeros(0, 4)]
    )
    module = TestFGD.loss.build(student_channels=None, **only(alpha=1.0))
    value, grads = value_and_gradients(module, case)
    assert (value > 0) == bool(boxes)
    for grad in grads:
        assert grad.isfinite().all()
        assert not grad[1].any()
    module = TestFGD.loss.build(case)
    call(module, attached(case)).backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())


def test_foreground_and_background_are_apart():
    """A change inside of the box matters to alpha alone, else to beta."""
    own, target = torch.zeros(1, 2, 8, 8), torch.ones(1, 2, 8, 8)
    boxes = [torch.tensor([[0.2, 0.2, 0.3, 0.3]])]
    inside = own.clone()
    inside[:, :, 1:4, 1:4] = 1
    for numbers, untouched in (
        (only(alpha=1.0), own + 1 - inside),
        (only(beta=1.0), inside),
    ):
        module = FGDLoss(**numbers, tau=0.5, teacher_channels=[2])
        # The teacher's attention is equal everywhere.
        torch.testing.assert_close(
            module([own], [target], boxes).item(), 2 * 1.0
        )
        value = module([1 - untouched], [target], boxes).item()
        assert value == pytest.approx(0, abs=1e-6)


def test_student_may_look_elsewhere_at_no_cost_of_the_first_terms():
    """They weigh places by the teacher's attention alone."""
    module = FGDLoss(**only(beta=1.0), tau=0.5, teacher_channels=[2])
    teacher = torch.zeros(1, 2, 1, 2)
    teacher[..., 0] = 4
    student = teacher.clone()
    boxes = [torch.zeros(0, 4)]
    values = []
    for place in (0, 1):
        moved = student.clone()
        moved[..., place] += 1
        values.append(module([moved], [teacher], boxes).item())
    # h w softmax(8, 0): the share of the place, twice.
    first, second = values
    assert first + second == pytest.approx(2)
    assert first / second == pytest.approx(math.exp(8), rel=1e-4)


def test_number_of_boxes_that_is_not_that_of_the_images():
    module = TestFGD.loss.build()
    with pytest.raises(ValueError, match='boxes of 2 images'):
        call(module, USUAL._replace(boxes=USUAL.boxes[:1]))


def test_channels_of_the_teacher_that_it_was_not_told():
    module = TestFGD.loss.build(
        teacher_channels=[3, 4, 3], student_channels=None
    )
    message = 'level 1 of the teacher has 3 channels, but .* says 4'
    with pytest.raises(ValueError, match=message):
        call(module, USUAL)
