"""The taps that are wrong on purpose: wrong in one thing, right in others."""

import pytest
import torch
from plans.controls import OwnRoIHeadTap, ShuffledRoIHeadTap

from mmkd_plugin.taps import RoIHeadTap
from tests.helpers import tiny


@pytest.fixture
def teacher():
    return tiny.build_detector(1, width=16).eval()


def rows_of(tap, teacher):
    """Logits that a tap gives of the teacher, and the student's record."""
    student = tiny.build_detector().train()
    tap.attach(student)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    torch.manual_seed(0)
    student(**data, mode='loss')
    record = tap.take()
    features = tap.teacher_features(teacher, data['inputs'])
    return tap.teacher_logits(teacher, features, record), record


def test_shuffled_rows_are_the_same_rows(teacher):
    right, _ = rows_of(RoIHeadTap(), teacher)
    wrong, _ = rows_of(ShuffledRoIHeadTap(), teacher)
    assert not torch.allclose(wrong, right)
    places = (wrong[:, None] - right).abs().amax(2) < 1e-6
    assert places.any(1).all()
    assert places.any(0).all()


def test_own_rois_are_the_proposals_of_the_teacher(teacher):
    """The student's rows stay as they are; images are not mixed up."""
    right, record = rows_of(RoIHeadTap(), teacher)
    boxes = []
    teacher.roi_head.bbox_roi_extractor.register_forward_pre_hook(
        lambda module, args: boxes.append(args[1])
    )
    wrong, other = rows_of(OwnRoIHeadTap(), teacher)
    assert torch.equal(other.rois, record.rois)
    assert wrong.shape == right.shape
    assert not torch.allclose(wrong, right)
    (used,) = boxes
    assert torch.equal(used[:, 0], record.rois[:, 0])
    assert not torch.allclose(used, record.rois)
    assert (used[:, 3:] > used[:, 1:3]).all()
