"""RoIHeadTap on real detectors."""

import copy

import pytest
import torch
from mmengine.registry import TASK_UTILS
from torch import nn

import mmkd_plugin  # noqa: F401, registers the tap
from tests import tiny


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
    tap.attach(student, teacher)
    inputs = forward(student, 0, 1, 2, mask=mask)
    pair = tap.read(teacher, inputs)
    assert pair.student is seen['logits']
    assert pair.labels is seen['labels']
    assert pair.student.shape == pair.teacher.shape
    assert pair.student.shape[1] == len(tiny.CLASSES) + 1
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
                torch.testing.assert_close(pair.teacher[row], logits)
                row += 1
    assert row == len(pair.teacher)


def test_record_is_read_once(tap):
    student = tiny.build_detector().train()
    teacher = tiny.build_detector(1).eval()
    tap.attach(student, teacher)
    inputs = forward(student, 0)
    assert tap.read(teacher, inputs) is not None
    assert tap.read(teacher, inputs) is None


def test_nothing_is_kept_in_eval_mode(tap):
    student = tiny.build_detector().eval()
    teacher = tiny.build_detector(1).eval()
    tap.attach(student, teacher)
    inputs = forward(student, 0)
    assert tap.read(teacher, inputs) is None


def test_detach_removes_all_hooks(tap):
    student = tiny.build_detector().train()
    tap.attach(student, tiny.build_detector(1).eval())
    forward(student, 0)
    tap.detach()
    assert not any(m._forward_pre_hooks for m in student.modules())
    assert tap._record is None


def test_teacher_gives_no_graph(tap):
    student = tiny.build_detector().train()
    teacher = tiny.build_detector(1).eval()
    tap.attach(student, teacher)
    pair = tap.read(teacher, forward(student, 0))
    assert pair.student.requires_grad
    assert not pair.teacher.requires_grad


class NoRoIHead(nn.Module):
    roi_head = None


def cascade(model):
    model = copy.deepcopy(model)
    model.roi_head.bbox_head = nn.ModuleList([model.roi_head.bbox_head])
    return model


def sigmoid(model):
    model = copy.deepcopy(model)
    model.roi_head.bbox_head.loss_cls.use_sigmoid = True
    return model


@pytest.mark.parametrize(
    'spoil, message',
    [
        (lambda model: NoRoIHead(), 'has no RoI head'),
        (cascade, 'cascade of 1 box heads'),
        (sigmoid, 'use_sigmoid=False'),
    ],
)
@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_other_heads_are_refused(tap, spoil, message, role):
    models = dict(
        student=tiny.build_detector(), teacher=tiny.build_detector(1)
    )
    models[role] = spoil(models[role])
    with pytest.raises(TypeError, match=message) as error:
        tap.attach(**models)
    assert role in str(error.value)


def test_other_number_of_classes_is_refused(tap):
    with pytest.raises(ValueError, match='3 classes apart and the teacher 5'):
        tap.attach(
            tiny.build_detector(), tiny.build_detector(1, num_classes=5)
        )


def test_rows_that_are_not_rois_are_refused(tap):
    student = tiny.build_detector().train()
    tap.attach(student, tiny.build_detector(1))
    loss_cls = student.roi_head.bbox_head.loss_cls
    with pytest.raises(RuntimeError, match='last saw no RoIs'):
        loss_cls(torch.randn(5, 4), torch.zeros(5, dtype=torch.long))
