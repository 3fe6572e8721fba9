"""Crossing of dense heads: the formula, and which gradients there are."""

import copy

import pytest
import torch

from mmkd_plugin.taps import DenseBinTap, DenseBoxTap, DenseHeadTap
from mmkd_plugin.taps.dense.dense_boxes import corners
from mmkd_plugin.taps.dense.dense_heads import Maps
from mmkd_plugin.taps.dense.dense_towers import align_scale, channel_statistics
from tests.helpers import dense
from tests.helpers.dense import (
    CONVS,
    build_dense,
    data_of,
    rows_of,
    step,
    without_batch_statistics,
)

C = 3
CROSSED = list(dense.CROSSED)
LAST = dict(retina='retina', fcos='conv', atss='atss', gfl='gfl')


def align(own, other):
    """Channel by channel, as CrossKD does."""
    out = torch.empty_like(own)
    for c in range(own.shape[1]):
        x, t = own[:, c].double(), other[:, c].double()
        centred = x - x.mean()
        degrees = max(x.numel() - 1, 1)
        std = (centred.square().sum() / degrees).sqrt()
        wanted = ((t - t.mean()).square().sum() / degrees).sqrt()
        out[:, c] = centred / (std + 1e-6) * wanted + t.mean()
    return out


def before_activation(head, tower, x, reuse):
    for i, conv in enumerate(getattr(head, tower)[:reuse]):
        x = conv.conv(x)
        if conv.with_norm:
            x = conv.norm(x)
        if i < reuse - 1:
            x = x.clamp(min=0)
    return x


def naive(kind, heads, maps, branch, reuse):
    """The crossed maps, step by step."""
    own, head = heads
    tower = ('cls_convs', 'reg_convs')[branch]
    last = getattr(
        head, f'{LAST[kind.split("-")[0]]}_{("cls", "reg")[branch]}'
    )
    levels = []
    for level, (x, t) in enumerate(zip(*maps)):
        x = align(
            before_activation(own, tower, x, reuse),
            before_activation(head, tower, t, reuse),
        )
        if reuse:
            x = x.clamp(min=0)
        for conv in getattr(head, tower)[reuse:]:
            x = conv(x)
        x = last(x)
        if branch and 'retina' not in kind:
            x = x * head.scales[level].scale
        if branch and kind == 'fcos':
            x = x.exp()
        if branch and kind == 'fcos-norm':
            x = x.clamp(min=0) * dense.LEVELS[level]
        levels.append(x)
    return levels


@pytest.mark.parametrize('reuse', range(CONVS + 1))
@pytest.mark.parametrize('kind', CROSSED)
def test_formula(kind, reuse):
    student = build_dense(kind).train()
    teacher = build_dense(kind, 1, width=16).eval()
    heads = student.bbox_head, teacher.bbox_head
    boxes = DenseBoxTap(crossed=True, reuse=reuse)
    boxes.attach(student, teacher)
    tap = DenseHeadTap(crossed=True, reuse=reuse)
    # One image: a level of one place has no standard deviation.
    shown, seen = step(tap, student, teacher, 1)
    readings = tap.take(shown), boxes.take(shown)
    with torch.no_grad():
        found = [
            naive(kind, heads, (seen['maps'], shown.features), branch, reuse)
            for branch in (0, 1)
        ]
    scores = torch.cat([rows_of(level, C) for level in found[0]])
    torch.testing.assert_close(
        readings[0].student.detach(), scores, rtol=1e-3, atol=1e-3
    )
    expected = corners(heads[1], Maps(*found), training=False)
    torch.testing.assert_close(
        readings[1].student.detach(), expected, rtol=1e-3, atol=1e-2
    )
    assert torch.equal(readings[0].labels < C, readings[1].labels.bool())


@pytest.mark.parametrize('kind', CROSSED)
@pytest.mark.parametrize('kind_of_tap', [DenseHeadTap, DenseBoxTap])
def test_equal_models_give_what_they_give_uncrossed(kind, kind_of_tap):
    student = without_batch_statistics(build_dense(kind).train())
    teacher = copy.deepcopy(student).eval()
    tap = kind_of_tap(crossed=True, reuse=2)
    shown, _ = step(tap, student, teacher)
    reading = tap.take(shown)
    torch.testing.assert_close(
        reading.student.detach(), reading.teacher, rtol=1e-3, atol=2e-2
    )


def test_bins_are_crossed_too():
    student = build_dense('gfl').train()
    teacher = build_dense('gfl', 1).eval()
    tap = DenseBinTap('confidence', crossed=True, reuse=1)
    shown, seen = step(tap, student, teacher)
    reading = tap.take(shown)
    heads = student.bbox_head, teacher.bbox_head
    with torch.no_grad():
        found = naive('gfl', heads, (seen['maps'], shown.features), 1, 1)
    expected = torch.cat([rows_of(level, 36) for level in found])
    torch.testing.assert_close(
        reading.student.detach(), expected.view(-1, 4, 9), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize('kind', CROSSED)
@pytest.mark.parametrize('reuse', [0, 2])
@pytest.mark.parametrize('kind_of_tap', [DenseHeadTap, DenseBoxTap])
def test_gradient_ends_at_the_crossing(kind, reuse, kind_of_tap):
    student = build_dense(kind).train()
    teacher = build_dense(kind, 1).eval().requires_grad_(False)
    tap = kind_of_tap(crossed=True, reuse=reuse)
    shown, _ = step(tap, student, teacher)
    reading = tap.take(shown)
    (reading.student - reading.teacher).square().sum().backward()
    reached = {
        '.'.join(name.split('.')[:3])
        for name, p in student.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    tower = 'cls_convs' if kind_of_tap is DenseHeadTap else 'reg_convs'
    expected = {f'bbox_head.{tower}.{i}' for i in range(reuse)}
    assert {n for n in reached if n.startswith('bbox_head')} == expected
    assert {n.split('.')[0] for n in reached} >= {'backbone', 'neck'}
    for p in student.parameters():
        assert p.grad is None or p.grad.isfinite().all()
    assert all(p.grad is None for p in teacher.parameters())


def test_the_students_own_losses_are_the_same():
    """What is held is a copy, and the hooks change nothing."""
    losses = []
    for crossed in (False, True):
        student = without_batch_statistics(build_dense('atss').train())
        tap = DenseHeadTap(crossed=crossed)
        tap.attach(student, build_dense('atss', 1).eval())
        losses.append(student(**data_of(student, 0, 1), mode='loss'))
    for name, values in losses[0].items():
        for own, other in zip(values, losses[1][name]):
            assert torch.equal(own, other)


def test_constant_channels():
    """The teacher's mean, and no gradient."""
    x = torch.full((2, 3, 4, 4), 0.1, requires_grad=True)
    target = torch.randn(2, 3, 4, 4)
    aligned = align_scale(x, *channel_statistics(target))
    means = target.mean((0, 2, 3), keepdim=True).expand_as(x)
    torch.testing.assert_close(aligned, means, rtol=1e-3, atol=1e-3)
    aligned.square().sum().backward()
    assert x.grad.isfinite().all()
    one = torch.ones(1, 3, 1, 1, requires_grad=True)
    aligned = align_scale(one, *channel_statistics(target[:1, :, :1, :1]))
    assert torch.equal(aligned, target[:1, :, :1, :1])
    aligned.sum().backward()
    assert not one.grad.any()


def test_nothing_is_kept_after_a_step():
    student = build_dense('retina').train()
    teacher = build_dense('retina', 1).eval()
    tap = DenseHeadTap(crossed=True)
    records = []
    for other in (True, False):
        shown, _ = step(tap, student, teacher)
        records = [tap._crossing._own, tap._crossing._other]
        assert records[0]._kept
        tap.take(shown if other else None)
        assert not any(record._kept for record in records)
        tap.detach()
    tap.attach(student, teacher)
    data = data_of(student, 0)
    student.eval()(**data, mode='predict')
    student.train()
    assert not tap._crossing._own._kept
    copy.deepcopy(student)(**data, mode='loss')
    assert not tap._crossing._own._kept
    student(**data, mode='loss')
    tap.detach()
    assert not any(record._kept for record in records)
    for model in (student, teacher):
        assert not any(
            m._forward_hooks or m._forward_pre_hooks for m in model.modules()
        )


@pytest.mark.parametrize(
    'changes, reuse, message',
    [
        (
            dict(stacked_convs=4),
            2,
            'their depth differs: student 3, teacher 4',
        ),
        (dict(feat_channels=32), 2, 'their width differs: student 16, teach'),
        ({}, 4, '`reuse` to be at most .*, 3, but got 4'),
    ],
)
def test_towers_must_agree(changes, reuse, message):
    student = build_dense('atss').train()
    teacher = build_dense('atss', 1, **changes).eval()
    tap = DenseHeadTap(crossed=True, reuse=reuse)
    with pytest.raises((TypeError, ValueError), match=message):
        tap.attach(student, teacher)
    assert not any(m._forward_hooks for m in student.modules())


def test_width_at_the_head_counts_where_it_is_crossed_there():
    student = build_dense('retina')
    teacher = build_dense('retina', 1)
    teacher.bbox_head.in_channels = 32
    with pytest.raises(
        TypeError, match='width differs: student 16, teac.* 32'
    ):
        DenseHeadTap(crossed=True, reuse=0).attach(student, teacher)


@pytest.mark.parametrize('kind', ['rtmdet', 'rtmdet-sep'])
def test_heads_without_such_towers_are_refused(kind):
    model = build_dense(kind)
    name = type(model.bbox_head).__name__
    with pytest.raises(TypeError, match=f'The {name} of the student RTMDet h'):
        DenseHeadTap(crossed=True).attach(model, model)


def test_tower_that_does_not_run_is_no_silence():
    student = build_dense('retina').train()
    teacher = build_dense('retina', 1).eval()
    tap = DenseHeadTap(crossed=True, reuse=1)
    conv = student.bbox_head.cls_convs[0]
    conv.forward = conv.conv.forward
    shown, _ = step(tap, student, teacher)
    with pytest.raises(RuntimeError, match='student ran 0 times and that of'):
        tap.take(shown)
