"""ReviewKD: fusion of the levels, pyramids of their distance, parameters."""

import math

import pytest
import torch

from mmkd_plugin.losses import ReviewKDLoss, hcl_loss
from mmkd_plugin.losses.common.abf import ABF
from tests.helpers.feature_cases import CASES, USUAL
from tests.helpers.feature_loss_checks import (
    FeatureLoss,
    NormalizedChecks,
    call,
)

BN_EPS = 1e-5


def pooled(gap, size):
    """Means of cells: from floor(i h / q), before ceil((i + 1) h / q)."""
    images, channels, *sides = gap.shape
    y, x = (
        [
            slice(i * n // size, math.ceil((i + 1) * n / size))
            for i in range(size)
        ]
        for n in sides
    )
    cells = torch.zeros(images, channels, size, size, dtype=gap.dtype)
    for i in range(size):
        for j in range(size):
            cells[:, :, i, j] = gap[:, :, y[i], x[j]].mean(dim=(2, 3))
    return cells


def hcl_oracle(student, teacher):
    total = 0
    for own, target in zip(student, teacher, strict=True):
        sizes = [q for q in (4, 2, 1) if q < own.shape[2]]
        value, divisor = ((own - target) ** 2).mean(), 1
        for i, q in enumerate(sizes):
            distance = (pooled(own, q) - pooled(target, q)) ** 2
            value = value + 0.5 ** (i + 1) * distance.mean()
            divisor += 0.5 ** (i + 1)
        total = total + value / divisor
    return total


def batch_norm(x, scale, shift):
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    scale, shift = scale[:, None, None], shift[:, None, None]
    return scale * (x - mean) / (variance + BN_EPS).sqrt() + shift


def nearest(coarse, height, width):
    rows = [y * coarse.shape[2] // height for y in range(height)]
    columns = [x * coarse.shape[3] // width for x in range(width)]
    return coarse[:, :, rows][:, :, :, columns]


def conv3x3(x, weight):
    *_, height, width = x.shape
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    return sum(
        torch.einsum(
            'dc,bcyx->bdyx',
            weight[:, :, i, j],
            padded[:, :, i : i + height, j : j + width],
        )
        for i in range(3)
        for j in range(3)
    )


def conv1x1(x, weight):
    return torch.einsum('dc,bcyx->bdyx', weight[:, :, 0, 0], x)


def fused_maps(student, teacher, parameters):
    """The outputs of the connectors, from the coarsest level on."""
    outputs, coarser = [], None
    for i in reversed(range(len(student))):

        def of(name, i=i):
            return parameters[f'connectors.{i}.{name}']

        x = batch_norm(
            conv1x1(student[i], of('reduce.0.weight')),
            of('reduce.1.weight'),
            of('reduce.1.bias'),
        )
        if coarser is not None:
            y = nearest(coarser, *x.shape[2:])
            both = torch.cat([x, y], dim=1)
            z = conv1x1(both, of('attention.weight'))
            z = z + of('attention.bias')[:, None, None]
            a, b = (1 / (1 + (-z).exp())).unbind(1)
            x = a[:, None] * x + b[:, None] * y
        x = coarser = nearest(x, *teacher[i].shape[2:])
        outputs.append(
            batch_norm(
                conv3x3(x, of('expand.0.weight')),
                of('expand.1.weight'),
                of('expand.1.bias'),
            )
        )
    return outputs[::-1]


def oracle(student, teacher, boxes, parameters, mid_channels):
    return hcl_oracle(fused_maps(student, teacher, parameters), teacher)


class TestReviewKD(NormalizedChecks):
    loss = FeatureLoss(
        ReviewKDLoss,
        oracle,
        {},
        settings=dict(mid_channels=5),
        trained=True,
        may_differ=('sizes',),
    )


def series(function, step, *shape):
    """f(step), f(2 step), ... in the order of memory."""
    numbers = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return function(step * numbers).view(shape)


def waves(*shape):
    return series(torch.sin, 0.1, *shape), series(torch.cos, 0.07, *shape)


@pytest.mark.parametrize(
    'height, width, expected',
    [
        (8, 6, 0.6957127022),
        (4, 6, 0.6704057529),
        (5, 3, 0.1767028571),
        (3, 3, 0.2307091486),
        (2, 2, 0.3267210444),
        (1, 1, 0.4263331938),
    ],
)
def test_pinned_hcl(height, width, expected):
    student, teacher = waves(2, 3, height, width)
    value = hcl_loss([student], [teacher])
    assert value.item() == pytest.approx(expected, abs=6e-11)


def loss_of_waves():
    """Three levels, every weight 0.2 but those of the normalisation."""
    loss = ReviewKDLoss(
        student_channels=[3, 3, 3],
        teacher_channels=[3, 3, 3],
        mid_channels=3,
        loss_weight=1.0,
    ).double()
    for parameter in loss.parameters():
        if parameter.ndim == 4:
            torch.nn.init.constant_(parameter, 0.2)
    for abf in loss.connectors:
        if abf.attention is not None:
            torch.nn.init.zeros_(abf.attention.bias)
    maps = [waves(2, 3, *size) for size in ((8, 6), (4, 3), (2, 2))]
    return (loss, *zip(*maps))


def test_pinned_connectors():
    loss, student, teacher = loss_of_waves()
    assert loss(student, teacher, None).item() == pytest.approx(
        5.0516425405, abs=1e-9
    )
    fresh = loss_of_waves()[0].eval()
    means = []
    for abf in fresh.connectors:
        abf.register_forward_hook(
            lambda module, args, output: means.append(output[0].mean().item())
        )
    assert fresh(student, teacher, None).item() == pytest.approx(
        3.7654922192, abs=6e-11
    )
    assert means[::-1] == pytest.approx(
        [0.808218, 0.966174, 1.061821], abs=6e-7
    )


def test_size_and_names_of_the_connectors():
    loss = ReviewKDLoss(
        student_channels=[256] * 5, teacher_channels=[256] * 5, loss_weight=1.0
    )
    assert sum(p.numel() for p in loss.parameters()) == 3_286_024
    assert sum(b.numel() for b in loss.buffers()) == 5_130


def of_classifiers(**changes):
    """For ResNet-32x4 and ResNet-8x4 on CIFAR-100."""
    channels = [64, 128, 256, 256]
    return ReviewKDLoss(
        student_channels=channels,
        teacher_channels=channels,
        loss_weight=5.0,
        **{'mid_channels': None, **changes},
    )


def test_size_for_classifiers():
    loss = of_classifiers()
    assert loss.mid_channels == 256
    assert sum(p.numel() for p in loss.parameters()) == 1_808_774


@pytest.mark.parametrize(
    'channels, expected', [([12, 16], 16), ([512], 512), ([160, 1280], 512)]
)
def test_channels_of_the_fused_maps(channels, expected):
    loss = ReviewKDLoss(
        student_channels=channels,
        teacher_channels=[4] * len(channels),
        mid_channels=None,
        loss_weight=1.0,
    )
    assert loss.connectors[-1].reduce[0].out_channels == expected


@pytest.mark.parametrize('sizes', [(8, 6, 1), (4, 3, 1), (2, 7, 1)])
def test_other_sizes_equal_oracle(sizes):
    """Larger and smaller than the student's."""
    case = USUAL._replace(
        student=tuple(
            own[..., :size, :size]
            for own, size in zip(USUAL.student, (4, 2, 1), strict=True)
        ),
        teacher=tuple(
            torch.randn(
                *target.shape[:2],
                *(size, size),
                generator=torch.Generator().manual_seed(size),
            )
            for target, size in zip(USUAL.teacher, sizes, strict=True)
        ),
    )
    loss, case = TestReviewKD.loss, case.to(torch.float64)
    module = loss.build(case).double()
    expected = loss.expected(module, case)
    torch.testing.assert_close(call(module, case), expected)


def test_one_image_of_a_classifier():
    """Its pooled vector is a map of one place."""
    maps = [torch.randn(1, c, s, s) for c, s in ((64, 8), (128, 4), (256, 2))]
    maps.append(torch.randn(1, 256, 1, 1))
    with pytest.raises(ValueError, match='level 3 is of one image'):
        of_classifiers()(maps, maps, None)


def test_initial_weights():
    torch.manual_seed(0)
    abf = ABF(40, 60, 50, fuse=True)
    for conv, inputs in ((abf.reduce[0], 40), (abf.expand[0], 9 * 60)):
        assert conv.bias is None
        # Uniform with a variance of 1 / inputs.
        bound = math.sqrt(3 / inputs)
        assert 0.99 * bound < conv.weight.abs().max() < bound
        assert conv.weight.std().item() == pytest.approx(
            bound / math.sqrt(3), rel=0.05
        )
    bound = 1 / math.sqrt(120)
    assert 0.9 * bound < abf.attention.weight.abs().max() < bound
    for norm in (abf.reduce[1], abf.expand[1]):
        assert norm.eps == BN_EPS and norm.momentum == 0.1
        assert norm.weight.eq(1).all() and norm.bias.eq(0).all()
    assert ABF(4, 4, 4, fuse=False).attention is None


@pytest.mark.parametrize('width', [1, 2, 3, 4, 5, 8, 12])
@pytest.mark.parametrize('height', range(1, 14))
def test_hcl_of_all_small_sizes(height, width):
    """Whether or not the cells of a size make up those of the next."""
    student, teacher = waves(2, 2, height, width)
    torch.testing.assert_close(
        hcl_loss([student], [teacher]),
        hcl_oracle([student], [teacher]),
        rtol=1e-12,
        atol=0,
    )


def test_hcl_of_a_constant_distance():
    """All sizes see it alike."""
    student = USUAL.student
    teacher = [own - 3 for own in student]
    value = hcl_loss(student, teacher)
    torch.testing.assert_close(value, torch.tensor(27.0))


def test_coarser_levels_learn_from_finer_ones():
    """What is handed down keeps its graph, what is handed up is nothing."""
    loss = TestReviewKD.loss.build()
    student = [own.clone().requires_grad_() for own in USUAL.student]
    outputs = []
    for abf in loss.connectors:
        abf.register_forward_hook(
            lambda module, args, output: outputs.append(output[0])
        )
    call(loss, USUAL._replace(student=student))
    coarse, _, fine = outputs
    grads = torch.autograd.grad(
        fine.square().sum(), student, retain_graph=True
    )
    assert all(grad.ne(0).any() for grad in grads)
    grads = torch.autograd.grad(
        coarse.square().sum(), student, allow_unused=True
    )
    assert grads[0] is None and grads[1] is None and grads[2].ne(0).any()


def test_statistics_are_those_of_the_batch_while_training():
    """And running ones are kept, as in any network."""
    loss = TestReviewKD.loss.build()
    norm = loss.connectors[0].reduce[1]
    call(loss, USUAL)
    assert norm.num_batches_tracked == 1
    x = conv1x1(USUAL.student[0], loss.connectors[0].reduce[0].weight)
    torch.testing.assert_close(
        norm.running_mean, 0.1 * x.mean(dim=(0, 2, 3)).detach()
    )


def test_channels_of_the_teacher_that_it_was_not_told():
    case = CASES['odd sizes']
    loss = TestReviewKD.loss.build(case, teacher_channels=[4, 5])
    message = r'level 1 differ in their channels: student \(3, 5, 3, 3\), '
    with pytest.raises(ValueError, match=message):
        call(loss, case)
