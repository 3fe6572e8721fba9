"""CAT-KD: its formula, pinned values, pooling, classes without a map."""

import math

import pytest
import torch

from mmkd_plugin.losses import CATKDLoss, cat_kd_loss
from tests.helpers.feature_cases import waves
from tests.helpers.reading_loss_checks import ReadingLoss, ReadingLossChecks


def oracle(student, teacher, size, normalize):
    """Numbers of lists, class by class."""

    def pooled(image):
        height, width = len(image), len(image[0])
        found = []
        for i in range(size):
            rows = range(i * height // size, -(-(i + 1) * height // size))
            for j in range(size):
                columns = range(j * width // size, -(-(j + 1) * width // size))
                values = [image[y][x] for y in rows for x in columns]
                found.append(math.fsum(values) / len(values))
        if normalize:
            length = math.sqrt(math.fsum(x * x for x in found))
            found = [x / length for x in found]
        return found

    gaps = []
    for own, other in zip(student.tolist(), teacher.tolist(), strict=True):
        for one, two in zip(own, other, strict=True):
            gaps += [
                (x - y) ** 2
                for x, y in zip(pooled(one), pooled(two), strict=True)
            ]
    return torch.tensor(math.fsum(gaps) / len(gaps), dtype=torch.float64)


def draw(images, classes, own, other, seed):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        2 * torch.randn(images, classes, *size, generator=generator) + 0.3
        for size in (own, other)
    )


CASES = {
    'usual': draw(5, 3, (4, 4), (4, 4), seed=0),
    'other sizes': draw(2, 4, (8, 6), (5, 7), seed=1),
    'smaller than after pooling': draw(3, 2, (1, 2), (4, 4), seed=2),
}


class TestCATKD(ReadingLossChecks):
    loss = ReadingLoss(
        CATKDLoss, oracle, {}, CASES, dict(size=2, normalize=False)
    )


class TestNormalized(ReadingLossChecks):
    loss = ReadingLoss(
        CATKDLoss, oracle, {}, CASES, dict(size=3, normalize=True)
    )


@pytest.mark.parametrize(
    'normalize, pinned', [(False, 0.534470652327), (True, 0.370177901093)]
)
def test_pinned(normalize, pinned):
    value = cat_kd_loss(*waves(2, 3, 8, 6), size=2, normalize=normalize)
    assert value.shape == (2,)
    assert value.mean().item() == pytest.approx(pinned, abs=1e-12)


def test_one_place_is_the_squared_distance_of_the_logits():
    student, teacher = CASES['other sizes']
    value = cat_kd_loss(student, teacher, size=1, normalize=False)
    gap = student.mean((2, 3)) - teacher.mean((2, 3))
    torch.testing.assert_close(value, gap.square().mean(1))


def test_size_of_a_class_matters_only_if_not_normalized():
    student, teacher = CASES['usual']
    factors = torch.tensor([0.1, 1.0, 10.0])[:, None, None]
    for normalize in (False, True):
        values = [
            cat_kd_loss(own, teacher, size=2, normalize=normalize)
            for own in (student, factors * student)
        ]
        assert torch.allclose(*values) == normalize


def test_class_without_a_map():
    """It counts as zeros, and its gradient is 0."""
    student, teacher = (x.clone() for x in CASES['usual'])
    student[:, 1] = 0
    student.requires_grad_()
    values = cat_kd_loss(student, teacher, size=2, normalize=True)
    others = cat_kd_loss(
        student[:, [0, 2]], teacher[:, [0, 2]], size=2, normalize=True
    )
    torch.testing.assert_close(values, (2 * others + 1 / 4) / 3)
    values.sum().backward()
    assert student.grad[:, 1].eq(0).all()
    assert student.grad[:, 0].ne(0).any()


def test_other_classes():
    student, teacher = CASES['usual']
    with pytest.raises(ValueError, match=r'same images and classes.*5, 2, 4'):
        cat_kd_loss(student, teacher[:, :2], size=2, normalize=False)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(size=0), '`size` to be an integer >= 1 but got 0'),
        (dict(size=2.0), '`size` to be an integer >= 1 but got 2.0'),
        (dict(normalize=1), '`normalize` to be True or False but got 1'),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        CATKDLoss(
            **{**dict(loss_weight=1.0, size=2, normalize=True), **arguments}
        )
