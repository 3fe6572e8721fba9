"""DenseHeadTap: which rows, whose logits, which labels and weights."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope

from mmkd_plugin.distill.terms import build_terms
from mmkd_plugin.taps import DenseHeadTap
from tests.helpers import dense
from tests.helpers.dense import build_dense, data_of, rows_of, step

C = 3
LD = dict(type='KnowledgeDistillationKLDivLoss', loss_weight=0.25, T=10)
KINDS = sorted(dense.KINDS)


def pair(kind, **kwargs):
    return (
        build_dense(kind, 0, **kwargs).train(),
        build_dense(kind, 1, width=16).eval(),
    )


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('indices', [(0, 1), (1,)])
def test_rows_are_those_of_the_loss(kind, indices):
    """Bit by bit, in order, with its labels and weights."""
    student, teacher = pair(kind)
    student.data_preprocessor.pad_size_divisor = 1
    tap = DenseHeadTap()
    shown, seen = step(tap, student, teacher, *indices)
    reading = tap.take(shown)
    args = [args for args, _ in seen['cls']]
    levels = len(seen['output'][0])
    assert len(args) == (1 if 'fcos' in kind else levels)
    assert torch.equal(reading.student, torch.cat([a[0] for a in args]))
    labels = [a[1][0] if isinstance(a[1], tuple) else a[1] for a in args]
    assert torch.equal(reading.labels, torch.cat(labels))
    assert set(reading.labels.tolist()) <= set(range(C + 1))
    assert 0 < (reading.labels < C).sum() < len(reading.labels)
    if 'fcos' in kind:
        assert (reading.weights == 1).all()
    else:
        weights = [
            a[2] if len(a) > 2 else kwargs['weight']
            for a, kwargs in seen['cls']
        ]
        assert torch.equal(reading.weights, torch.cat(weights))
        # Places outside of the smaller image do not count.
        assert (reading.weights == 0).any() or len(indices) == 1
    assert reading.student.requires_grad
    assert not reading.teacher.requires_grad


@pytest.mark.parametrize('kind', KINDS)
def test_logits_place_by_place(kind):
    student, teacher = pair(kind)
    tap = DenseHeadTap()
    shown, seen = step(tap, student, teacher)
    reading = tap.take(shown)
    with torch.no_grad():
        maps = teacher.bbox_head(shown.features)[0]
    for found, wanted in (
        (reading.student, seen['output'][0]),
        (reading.teacher, maps),
    ):
        rows = torch.cat([rows_of(level, C) for level in wanted])
        torch.testing.assert_close(found, rows)


@pytest.mark.parametrize('kind', KINDS)
def test_no_objects(kind):
    student, teacher = pair(kind)
    tap = DenseHeadTap()
    shown, _ = step(tap, student, teacher, boxes=False)
    reading = tap.take(shown)
    assert len(reading.student) and (reading.labels == C).all()


@pytest.mark.parametrize('kind', ['retina', 'fcos', 'gfl'])
def test_placeholder_without_a_teacher(kind):
    student, teacher = pair(kind)
    tap = DenseHeadTap()
    step(tap, student, teacher)
    reading = tap.take(None)
    assert reading.student.shape == reading.teacher.shape == (0, C)
    assert reading.student.requires_grad and not reading.teacher.requires_grad
    assert len(reading.labels) == len(reading.weights) == 0


def test_read_once_and_detached():
    student, teacher = pair('retina')
    tap = DenseHeadTap()
    shown, _ = step(tap, student, teacher)
    assert tap.take(shown) is not None
    assert tap.take(shown) is None
    tap.detach()
    assert tap.take(shown) is None
    for model in (student, teacher):
        assert not any(
            m._forward_hooks or m._forward_pre_hooks for m in model.modules()
        )


def test_only_the_training_of_the_student_is_read():
    """Neither validation, nor a copy of the model."""
    student, teacher = pair('retina')
    tap = DenseHeadTap()
    tap.attach(student, teacher)
    student.eval()(**data_of(student, 0), mode='predict')
    student.train()
    assert tap.take(None) is None
    twin = copy.deepcopy(student)
    assert 'DenseRecord' not in repr(twin.__dict__)
    twin(**data_of(twin, 0), mode='loss')
    assert tap.take(None) is None
    student(**data_of(student, 0), mode='loss')
    twin(**data_of(twin, 0, 1), mode='loss')
    assert tap.take(None) is not None


def test_record_is_not_copied():
    student, teacher = pair('retina')
    tap = DenseHeadTap()
    step(tap, student, teacher)
    output = tap._record._record._output
    copy.deepcopy(student)
    assert tap._record._record._output is output


def test_replaced_loss_is_followed():
    student, teacher = pair('retina')
    tap = DenseHeadTap()
    tap.attach(student, teacher)
    student.bbox_head.loss_cls = copy.deepcopy(student.bbox_head.loss_cls)
    student.bbox_head.loss_cls._forward_pre_hooks.clear()
    student(**data_of(student, 0), mode='loss')
    assert tap.take(None) is not None


def of_one_image(head, scores, boxes, *rest, **kwargs):
    """Trains on the first image alone."""
    rows = (x[:1] for x in (scores, boxes, *rest))
    return type(head).loss_by_feat_single(head, *rows, **kwargs)


def without_losses(head, scores, boxes, *rest, **kwargs):
    return scores.sum(), boxes.sum()


def on_targets(head, scores, boxes, anchors, labels, weights, *rest, **kwargs):
    scores = scores.permute(0, 2, 3, 1).reshape(-1, C)
    targets = torch.zeros_like(scores)
    head.loss_cls.forward = lambda *args, **kwargs: scores.sum()
    return head.loss_cls(scores, targets, weights.reshape(-1)), boxes.sum()


@pytest.mark.parametrize(
    'single, message',
    [
        (of_one_image, r'RetinaHead has \[768, .*`loss_cls` got \[384, '),
        (without_losses, '`loss_cls` got none: use a head that calls'),
        (on_targets, r'targets of shape \(768, 3\) and type torch.float32 f'),
    ],
)
def test_loss_must_get_every_row(single, message):
    student, teacher = pair('retina')
    head = student.bbox_head
    head.loss_by_feat_single = lambda *args, **kwargs: single(
        head, *args, **kwargs
    )
    tap = DenseHeadTap()
    tap.attach(student, teacher)
    data = data_of(student, 0, 1)
    student(**data, mode='loss')
    with pytest.raises(RuntimeError, match=message):
        tap.take(dense.Shown(teacher, data['inputs']))


def test_maps_must_agree():
    student, teacher = pair('retina')
    tap = DenseHeadTap()
    shown, _ = step(tap, student, teacher)
    shown.features = [x[:, :, :-1] for x in shown.features[:4]]
    with pytest.raises(RuntimeError, match=r'\(2, 12, 16\).*\(2, 11, 16\)'):
        tap.take(shown)


@pytest.mark.parametrize(
    'student, teacher', [('atss', 'gfl'), ('gfl', 'fcos'), ('fcos', 'atss')]
)
def test_other_kind_of_teacher(student, teacher):
    """Classes pair by place where there is one row per place."""
    student = build_dense(student).train()
    teacher = build_dense(teacher, 1).eval()
    tap = DenseHeadTap()
    shown, _ = step(tap, student, teacher)
    reading = tap.take(shown)
    assert reading.student.shape == reading.teacher.shape


def test_student_with_an_ld_head():
    """MMDetection's own distillation, which has a teacher of its own."""
    teacher = build_dense('gfl', 1).eval()
    cfg = dense.dense_cfg('gfl', type='LDHead', loss_ld=LD)
    cfg.update(
        type='KnowledgeDistillationSingleStageDetector',
        teacher_config=ConfigDict(model=dense.dense_cfg('gfl')),
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        student = MODELS.build(cfg)
    student.train()  # returns nothing
    tap = DenseHeadTap()
    shown, seen = step(tap, student, teacher)
    reading = tap.take(shown)
    rows = torch.cat([args[0] for args, _ in seen['cls']])
    assert torch.equal(reading.student, rows)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(crossed=1), '`crossed` to be True or False'),
        (dict(reuse=-1), '`reuse` to be an integer >= 0'),
        (dict(reuse=1.0), '`reuse` to be an integer >= 0'),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        DenseHeadTap(**arguments)


@pytest.mark.parametrize('kind', KINDS)
def test_positive_rows_alone(kind):
    student, teacher = pair(kind)
    readings = []
    for rows in ('all', 'positive'):
        tap = DenseHeadTap(rows=rows)
        shown, _ = step(tap, student, teacher)
        readings.append(tap.take(shown))
        tap.detach()
    every, chosen = readings
    keep = (every.labels < C) & (every.weights > 0)
    assert 0 < keep.sum() < len(keep)
    for part, expected in zip(chosen, every, strict=True):
        assert torch.equal(part, expected[keep])
    assert chosen.student.requires_grad


def test_ckd_tells_positives_apart():
    """By their directions, whatever the activation."""
    student, teacher = pair('retina')
    tap = DenseHeadTap(rows='positive')
    losses = dict(
        loss_ckd=dict(type='CKDLoss', tau=1.0, loss_weight=1.0, tap=tap)
    )
    (term,) = build_terms(losses).values()
    shown, _ = step(tap, student, teacher)
    reading = tap.take(shown)
    own, other = (
        torch.nn.functional.normalize(x, dim=1)
        for x in (reading.student, reading.teacher)
    )
    expected = torch.nn.functional.cross_entropy(
        other @ own.T, torch.arange(len(own))
    )
    torch.testing.assert_close(term.loss(*reading), expected)
