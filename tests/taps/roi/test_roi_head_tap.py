"""RoIHeadTap on real detectors."""

import copy

import pytest
import torch
from mmengine.registry import TASK_UTILS
from torch import nn

import mmkd_plugin  # noqa: F401, registers the tap
from tests.helpers import tiny
from tests.helpers.teachers import Shown


@pytest.fixture
def tap():
    return TASK_UTILS.build(dict(type='RoIHeadTap'))


def forward(model, *indices, mask=False):
    data = model.data_preprocessor(tiny.batch(*indices, mask=mask), True)
    model(**data, mode='loss')
    return data['inputs']


@pytest.mark.parametrize('mask', [False, True])
def test_rows_belong_to_the_same_boxes(tap, mask):
    student = tiny.build_detector(0, mask=mask).train()
    if mask:
        assert student.roi_head.share_roi_extractor
    teacher = tiny.build_detector(1, width=16, mask=mask).eval()
    seen = {}
    student.roi_head.bbox_head.register_forward_hook(
        lambda m, args, out: seen.update(logits=out[0])
    )
    original = student.roi_head.bbox_head.get_targets

    def get_targets(samples, *args, **kwargs):
        targets = original(samples, *args, **kwargs)
        seen.update(boxes=[s.priors for s in samples], labels=targets[0])
        return targets

    student.roi_head.bbox_head.get_targets = get_targets
    tap.attach(student, student)
    inputs = forward(student, 0, 1, 2, mask=mask)
    reading = tap.take(Shown(teacher, inputs))
    rows = reading.teacher
    assert reading.student is seen['logits']
    assert reading.labels is seen['labels']
    assert reading.student.shape == rows.shape
    assert rows.shape[1] == len(tiny.CLASSES) + 1
    # The teacher by a direct call, box by box.
    with torch.no_grad():
        features = teacher.extract_feat(inputs)
        head = teacher.roi_head
        row = 0
        for image, boxes in enumerate(seen['boxes']):
            for box in boxes:
                roi = torch.cat([box.new_tensor([image]), box])[None]
                crop = head.bbox_roi_extractor(features[:4], roi)
                logits = head.bbox_head(crop)[0][0]
                torch.testing.assert_close(rows[row], logits)
                row += 1
    assert row == len(rows)


@pytest.mark.parametrize('factor', [0, 0.25])
def test_background_counts_less(tap, factor):
    """The rows are the same; only weights of the last class change."""
    readings = []
    for arguments in ({}, dict(background_weight=factor)):
        student = tiny.build_detector().train()
        own = type(tap)(**arguments)
        own.attach(student, student)
        torch.manual_seed(0)
        forward(student, 0, 1)
        readings.append(own.take(None))
    whole, less = readings
    assert torch.equal(whole.labels, less.labels)
    background = whole.labels == len(tiny.CLASSES)
    assert 0 < background.sum() < len(background)
    assert torch.equal(less.weights[~background], whole.weights[~background])
    assert torch.equal(
        less.weights[background], factor * whole.weights[background]
    )


@pytest.mark.parametrize('factor', [-1, float('inf'), 'none'])
def test_background_weight_is_checked(tap, factor):
    with pytest.raises(ValueError, match='`background_weight` to be a number'):
        type(tap)(background_weight=factor)


def test_reading_is_taken_once(tap):
    student = tiny.build_detector().train()
    tap.attach(student, student)
    forward(student, 0)
    assert tap.take(None) is not None
    assert tap.take(None) is None


def test_nothing_is_kept_in_eval_mode(tap):
    student = tiny.build_detector().eval()
    tap.attach(student, student)
    forward(student, 0)
    assert tap.take(None) is None


def test_detach_removes_all_hooks(tap):
    student = tiny.build_detector().train()
    tap.attach(student, student)
    forward(student, 0)
    tap.detach()
    assert not any(m._forward_pre_hooks for m in student.modules())
    assert tap.take(None) is None


def test_no_teacher_is_asked_where_there_is_none(tap):
    student = tiny.build_detector().train()
    tap.attach(student, student)
    forward(student, 0)
    reading = tap.take(None)
    assert reading.student.requires_grad
    assert not reading.teacher.requires_grad


class NoRoIHead(nn.Module):
    roi_head = None


def sigmoid(model):
    model = copy.deepcopy(model)
    model.roi_head.bbox_head.loss_cls.use_sigmoid = True
    return model


@pytest.mark.parametrize(
    'spoil, message',
    [
        (lambda model: NoRoIHead(), 'has no RoI head'),
        (sigmoid, 'use_sigmoid=False'),
    ],
)
@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_other_heads_are_refused(tap, spoil, message, role):
    with pytest.raises(TypeError, match=message) as error:
        tap.refuse(role, spoil(tiny.build_detector()))
    assert role in str(error.value)


def test_rows_that_are_not_rois_are_refused(tap):
    student = tiny.build_detector().train()
    tap.attach(student, student)
    loss_cls = student.roi_head.bbox_head.loss_cls
    with pytest.raises(RuntimeError, match='last classified no RoIs'):
        loss_cls(
            torch.randn(5, 4, requires_grad=True),
            torch.zeros(5, dtype=torch.long),
        )
