"""DenseBoxTap: boxes as the heads decode them, and what they weigh."""

import copy

import pytest
import torch

from mmkd_plugin.taps import DenseBoxTap
from tests.helpers import dense
from tests.helpers.dense import (
    build_dense,
    rows_of,
    step,
    without_batch_statistics,
)

C = 3
KINDS = sorted(dense.KINDS)
FAR = 10**6


def predicted(head, output, images):
    """The boxes of all places by the head's own prediction.

    It sorts the boxes of a level by the probability of each class, and clips
    them; here only at 0.
    """
    cfg = copy.deepcopy(head.test_cfg)
    cfg.update(score_thr=-1, nms_pre=FAR, min_bbox_size=-1)
    metas = [dict(img_shape=(FAR, FAR), scale_factor=(1, 1))] * images
    # FCOS and ATSS give a third map.
    found = head.predict_by_feat(
        *output, batch_img_metas=metas, cfg=cfg, with_nms=False
    )
    levels = [rows_of(level, C).view(images, -1, C) for level in output[0]]
    rows = []
    for image, instances in enumerate(found):
        start = 0
        for level in levels:
            order = level[image].sigmoid().flatten().sort(descending=True)[1]
            boxes = instances.bboxes[start : start + len(order)]
            own = boxes.new_zeros(len(level[image]), 4)
            own[order // C] = boxes
            rows.append((image, own))
            start += len(order)
    count = len(levels)
    return torch.cat(
        [
            rows[image * count + level][1]
            for level in range(count)
            for image in range(images)
        ]
    )


@pytest.mark.parametrize('kind', KINDS)
def test_teachers_boxes_are_those_that_it_predicts(kind):
    student, teacher = build_dense(kind).train(), build_dense(kind, 1).eval()
    tap = DenseBoxTap()
    shown, _ = step(tap, student, teacher)
    reading = tap.take(shown)
    with torch.no_grad():
        output = teacher.bbox_head(shown.features)
    boxes = predicted(teacher.bbox_head, output, 2)
    assert len(boxes) == len(reading.teacher)
    torch.testing.assert_close(
        reading.teacher.clamp(0, FAR), boxes, rtol=1e-5, atol=1e-3
    )


@pytest.mark.parametrize('kind', KINDS)
def test_equal_models_have_equal_boxes(kind):
    """Although the student gives its in training mode."""
    student = without_batch_statistics(build_dense(kind).train())
    teacher = copy.deepcopy(student).eval()
    tap = DenseBoxTap()
    shown, _ = step(tap, student, teacher)
    reading = tap.take(shown)
    torch.testing.assert_close(
        reading.student.detach(), reading.teacher, rtol=1e-4, atol=1e-3
    )
    assert reading.student.requires_grad and not reading.teacher.requires_grad
    assert reading.weights.max() < 1e-5


@pytest.mark.parametrize(
    'kind', ['retina', 'fcos', 'atss', 'gfl', 'rtmdet', 'rtmdet-sep']
)
def test_students_boxes_are_those_of_the_loss(kind):
    changes = dict(reg_decoded_bbox=True) if kind == 'retina' else {}
    student = build_dense(kind, **changes).train()
    teacher = build_dense(kind, 1, **changes).eval()
    tap = DenseBoxTap()
    shown, seen = step(tap, student, teacher)
    reading = tap.take(shown)
    positive = reading.labels == 1
    boxes = [args[0].detach() for args, _ in seen['bbox']]
    if kind == 'retina':  # with all rows, of which most weigh nothing
        positive = torch.ones_like(positive)
    if kind == 'gfl':  # in strides; levels without a positive are left out
        sizes = [
            level.shape[0] * level[0, 0].numel() for level in seen['maps']
        ]
        labels = reading.labels.split(sizes)
        strides = [s for s, part in zip(dense.LEVELS, labels) if part.any()]
        boxes = [box * stride for box, stride in zip(boxes, strides)]
    torch.testing.assert_close(
        reading.student[positive].detach(), torch.cat(boxes)
    )


@pytest.mark.parametrize('kind', ['retina', 'fcos', 'gfl', 'rtmdet'])
@pytest.mark.parametrize('weights', ['gap', 'confidence'])
def test_weights_and_labels(kind, weights):
    student, teacher = build_dense(kind).train(), build_dense(kind, 1).eval()
    student.data_preprocessor.pad_size_divisor = 1
    tap = DenseBoxTap(weights)
    shown, seen = step(tap, student, teacher)
    reading = tap.take(shown)
    with torch.no_grad():
        output = teacher.bbox_head(shown.features)
    own, other = (
        torch.cat([rows_of(level, C) for level in maps[0]]).sigmoid()
        for maps in (seen['output'], output)
    )
    counted = torch.ones(len(own))
    if kind != 'fcos':
        counted = torch.cat(
            [
                args[2] if len(args) > 2 else kwargs['weight']
                for args, kwargs in seen['cls']
            ]
        )
        assert (counted == 0).any()
    expected = (own - other).abs().max(1)[0] * counted
    if weights == 'confidence':
        expected = other.max(1)[0] * (counted > 0)
    torch.testing.assert_close(reading.weights, expected.detach())
    assert not reading.weights.requires_grad
    labels = torch.cat(
        [a[1][0] if isinstance(a[1], tuple) else a[1] for a, _ in seen['cls']]
    )
    assert torch.equal(reading.labels, (labels < C).long())


@pytest.mark.parametrize('kind', KINDS)
def test_gradient_reaches_the_boxes_alone(kind):
    student, teacher = build_dense(kind).train(), build_dense(kind, 1).eval()
    tap = DenseBoxTap()
    shown, _ = step(tap, student, teacher)
    reading = tap.take(shown)
    (reading.student - reading.teacher).abs().sum().backward()
    reached = {
        name
        for name, p in student.bbox_head.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert any('reg' in name for name in reached)
    assert not any('cls' in name or 'center' in name for name in reached)


@pytest.mark.parametrize('kind', ['gfl', 'retina', 'fcos-norm'])
def test_half_precision_does_not_round_boxes(kind):
    """Decoded in float32 from what the head gave."""
    student, teacher = build_dense(kind).train(), build_dense(kind, 1).eval()
    tap = DenseBoxTap()
    with torch.autocast('cpu', torch.bfloat16):
        shown, seen = step(tap, student, teacher)
        reading = tap.take(shown)
    from mmkd_plugin.taps.dense.dense_boxes import corners
    from mmkd_plugin.taps.dense.dense_heads import Maps

    maps = Maps(*([x.float() for x in part] for part in seen['output'][:2]))
    expected = corners(student.bbox_head, maps, training=True)
    assert reading.student.dtype == torch.float32
    torch.testing.assert_close(reading.student, expected, rtol=0, atol=0)


@pytest.mark.parametrize('kind', ['retina', 'fcos', 'gfl'])
def test_no_objects_and_no_teacher(kind):
    student, teacher = build_dense(kind).train(), build_dense(kind, 1).eval()
    tap = DenseBoxTap()
    shown, _ = step(tap, student, teacher, boxes=False)
    reading = tap.take(shown)
    assert len(reading.student) and not reading.labels.any()
    tap.detach()
    step(tap, student, teacher)
    reading = tap.take(None)
    assert reading.student.shape == (0, 4) and reading.student.requires_grad


def test_other_coders_are_refused():
    student = build_dense('retina')
    student.bbox_head.bbox_coder = torch.nn.Identity()
    with pytest.raises(TypeError, match='by Identity, but DenseBoxTap reads'):
        DenseBoxTap().refuse('student', student)


def test_anchors_must_agree():
    """Of classes, a place is enough."""
    student, teacher = build_dense('atss'), build_dense('gfl', 1)
    generator = teacher.bbox_head.prior_generator
    generator.center_offset = 0.5
    with pytest.raises(TypeError, match='a dense head .*`center_offset`'):
        DenseBoxTap().attach(student, teacher)


def test_arguments():
    with pytest.raises(ValueError, match='`weights` to be one of gap, conf'):
        DenseBoxTap('all')
