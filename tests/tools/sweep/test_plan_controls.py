"""The taps that are wrong on purpose: wrong in one thing, right in others."""

import pytest
import torch
from plans.controls import OwnRoIHeadTap, ShuffledRoIHeadTap

from mmkd_plugin.taps import RoIHeadTap
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
