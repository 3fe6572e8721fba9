"""The taps that are wrong on purpose: wrong in one thing, right in others."""

import pytest
import torch
from plans.controls import (
    OwnRoIHeadTap,
    ShuffledFeatureTap,
    ShuffledRoIBoxTap,
    ShuffledRoIHeadTap,
)

from mmkd_plugin.taps import FeatureTap, RoIBoxTap, RoIHeadTap
from tests.helpers import tiny
from tests.helpers.teachers import Shown


@pytest.fixture
def teacher():
    return tiny.build_detector(1, width=16).eval()


def read(tap, teacher):
    """What a tap reads of student and teacher."""
    student = tiny.build_detector().train()
    tap.attach(student, student)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    torch.manual_seed(0)
    student(**data, mode='loss')
    return tap.take(Shown(teacher, data['inputs']))


def test_shuffled_rows_are_the_same_rows(teacher):
    right = read(RoIHeadTap(), teacher).teacher
    wrong = read(ShuffledRoIHeadTap(), teacher).teacher
    assert not torch.allclose(wrong, right)
    places = (wrong[:, None] - right).abs().amax(2) < 1e-6
    assert places.any(1).all()
    assert places.any(0).all()


@pytest.mark.parametrize('rows', ['label', 'teacher', 'confidence'])
def test_shuffled_boxes_are_those_of_the_rows_that_count(teacher, rows):
    # As it is built, it says background of nearly all; now of none.
    teacher.roi_head.bbox_head.fc_cls.weight.data.normal_()
    right = read(RoIBoxTap(rows=rows), teacher)
    wrong = read(ShuffledRoIBoxTap(rows=rows), teacher)
    assert torch.equal(wrong.student, right.student)
    assert torch.equal(wrong.weights, right.weights)
    assert (
        (wrong.labels is None) == (right.labels is None) == (rows != 'label')
    )
    if rows == 'label':
        assert torch.equal(wrong.labels, right.labels)
    counts = right.weights > 0
    assert counts.sum() > 4
    assert counts.all() or rows == 'label'
    # The others stay; those that count are the same deltas in another order.
    assert torch.equal(wrong.teacher[~counts], right.teacher[~counts])
    found, wanted = wrong.teacher[counts], right.teacher[counts]
    assert not torch.allclose(found, wanted)
    assert sorted(found.tolist()) == sorted(wanted.tolist())


def test_shuffled_maps_are_those_of_the_next_image(teacher):
    levels = ('p2', 'p3', 'p4', 'p5')
    right = read(FeatureTap(levels=levels), teacher)
    wrong = read(ShuffledFeatureTap(), teacher)
    assert len(wrong.teacher) == len(wrong.student) == 4
    for found, wanted in zip(wrong.student, right.student):
        assert torch.equal(found, wanted)
    for found, wanted in zip(wrong.teacher, right.teacher):
        assert len(wanted) == 2
        assert torch.equal(found[0], wanted[1])
        assert torch.equal(found[1], wanted[0])
        assert not torch.equal(found, wanted)


@pytest.mark.parametrize(
    'tap', [ShuffledRoIHeadTap, ShuffledRoIBoxTap, ShuffledFeatureTap]
)
def test_a_step_without_the_student_has_nothing_to_shuffle(tap):
    student = tiny.build_detector()
    tap = tap()
    tap.attach(student, student)
    assert tap.take(None) is None


def test_own_rois_are_the_proposals_of_the_teacher(teacher):
    """The student's rows stay as they are; images are not mixed up."""
    rois = []
    teacher.roi_head.bbox_roi_extractor.register_forward_pre_hook(
        lambda module, args: rois.append(args[1])
    )
    right = read(RoIHeadTap(), teacher)
    wrong = read(OwnRoIHeadTap(), teacher)
    assert torch.equal(wrong.student, right.student)
    assert torch.equal(wrong.labels, right.labels)
    assert wrong.teacher.shape == right.teacher.shape
    assert not torch.allclose(wrong.teacher, right.teacher)
    given, used = rois
    assert torch.equal(used[:, 0], given[:, 0])
    assert not torch.allclose(used, given)
    assert (used[:, 3:] > used[:, 1:3]).all()


@pytest.mark.parametrize('kind', [ShuffledRoIHeadTap, OwnRoIHeadTap])
def test_each_stage_of_a_cascade_is_wrong(kind):
    teacher = tiny.build_detector(1, stages=2).eval()
    taught = []
    for tap in (RoIHeadTap(), kind()):
        student = tiny.build_detector(stages=2).train()
        tap.attach(student, teacher)
        data = student.data_preprocessor(tiny.batch(0, 1), True)
        torch.manual_seed(0)
        student(**data, mode='loss')
        taught.append(tap.take(Shown(teacher, data['inputs'])))
    for right, wrong in zip(*taught, strict=True):
        assert right.name == wrong.name
        assert torch.equal(right.reading.student, wrong.reading.student)
        assert not torch.allclose(right.reading.teacher, wrong.reading.teacher)
