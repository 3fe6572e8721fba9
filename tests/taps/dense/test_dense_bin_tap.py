"""DenseBinTap: the bins of which rows, and what they weigh."""

import pytest
import torch

from mmkd_plugin.taps import DenseBinTap
from tests.helpers.dense import build_dense, rows_of, step

C = 3
BINS = 9


@pytest.fixture
def student():
    return build_dense('gfl').train()


@pytest.fixture
def teacher():
    return build_dense('gfl', 1, width=16).eval()


def labels_of(seen):
    return torch.cat([args[1][0] for args, _ in seen['cls']])


@pytest.mark.parametrize('rows', ['positive', 'confidence'])
def test_bins_place_by_place(student, teacher, rows):
    student.data_preprocessor.pad_size_divisor = 1
    tap = DenseBinTap(rows)
    shown, seen = step(tap, student, teacher)
    reading = tap.take(shown)
    with torch.no_grad():
        output = teacher.bbox_head(shown.features)
    labels = labels_of(seen)
    weights = torch.cat([kwargs['weight'] for _, kwargs in seen['cls']])
    own, other = (
        torch.cat([rows_of(level, C) for level in maps[0]]).sigmoid()
        for maps in (seen['output'], output)
    )
    chosen = labels < C if rows == 'positive' else labels <= C
    assert 2 < chosen.sum() == len(reading.student)
    for found, maps in (
        (reading.student, seen['output']),
        (reading.teacher, output),
    ):
        expected = torch.cat([rows_of(x, 4 * BINS) for x in maps[1]])
        expected = expected[chosen].view(-1, 4, BINS)
        torch.testing.assert_close(found, expected)
    expected = own.max(1)[0]
    if rows == 'confidence':
        expected = other.max(1)[0] * (weights > 0)
        assert (expected == 0).any()
    torch.testing.assert_close(reading.weights, expected[chosen].detach())
    assert torch.equal(reading.labels, (labels < C).long()[chosen])
    assert reading.student.requires_grad and not reading.weights.requires_grad


@pytest.mark.parametrize('crossed', [False, True])
def test_no_objects(student, teacher, crossed):
    tap = DenseBinTap(crossed=crossed)
    shown, _ = step(tap, student, teacher, boxes=False)
    reading = tap.take(shown)
    assert reading.student.shape == reading.teacher.shape == (0, 4, BINS)
    assert reading.student.requires_grad and len(reading.weights) == 0
    assert reading.labels.dtype == torch.int64


def test_placeholder_without_a_teacher(student, teacher):
    tap = DenseBinTap('confidence')
    step(tap, student, teacher)
    reading = tap.take(None)
    assert reading.student.shape == (0, 4, BINS)
    assert reading.student.requires_grad


def test_heads_without_bins_are_refused(student):
    atss = build_dense('atss')
    with pytest.raises(
        TypeError, match='ATSSHead of the teacher ATSS .* bins'
    ):
        DenseBinTap().attach(student, atss)
    with pytest.raises(
        TypeError, match='ATSSHead of the student ATSS .* bins'
    ):
        DenseBinTap().attach(atss, student)


def test_bins_must_agree(student):
    other = build_dense('gfl', reg_max=16)
    with pytest.raises(TypeError, match='student 8, teacher 16'):
        DenseBinTap().attach(student, other)


def test_arguments():
    with pytest.raises(ValueError, match='`rows` to be one of positive, conf'):
        DenseBinTap('valuable')
