"""A step of the distiller with the taps of dense heads."""

import pytest
import torch
from torch import nn

from mmkd_plugin import Distiller
from mmkd_plugin.teachers import Teacher
from tests.helpers import dense, tiny
from tests.helpers.dense import build_dense, data_of, rows_of, save_dense

C = len(tiny.CLASSES)
HEAD = dict(type='DenseHeadTap')
BINARY = dict(type='BinaryKDLoss', tau=1.0)


class Spy(nn.Module):
    """A loss that keeps what it is given, and pulls the student to it."""

    def __init__(self, kind, tap):
        super().__init__()
        self.kind = kind
        self.default_tap = tap

    def forward(self, student, teacher, labels, weights):
        self.seen = student, teacher, labels, weights
        return (student - teacher).square().sum() / max(len(student), 1)


def attach(losses, student, teacher, classes=tiny.CLASSES):
    distiller = Distiller(losses)
    distiller.attach(student, [teacher], classes)
    return distiller


@pytest.mark.parametrize('kind', sorted(dense.KINDS))
def test_each_kind_of_head_is_trained(kind, tmp_path):
    student = build_dense(kind).train()
    teacher = Teacher(**save_dense(tmp_path / 't.pth', kind, width=16))
    losses = dict(loss_kd=dict(BINARY, tap=HEAD))
    distiller = attach(losses, student, teacher)
    found = student(**data_of(student, 0, 1), mode='loss')
    assert not any(name.startswith('kd_') for name in found)
    found['loss_kd'].backward()
    reached = {
        name.split('.')[0] + ('.cls' if 'cls' in name else '')
        for name, p in student.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert {'backbone', 'neck', 'bbox_head.cls'} <= reached
    distiller.check(dict(loss_kd=found['loss_kd'].item()), 1)


@pytest.mark.parametrize('crossed', [False, True])
def test_taps_share_a_pass_of_the_teacher(crossed, tmp_path):
    student = build_dense('gfl').train()
    teacher = Teacher(**save_dense(tmp_path / 't.pth', 'gfl', width=16))
    settings = dict(crossed=crossed, reuse=1)
    losses = dict(
        loss_cls_kd=dict(BINARY, tap=dict(HEAD, **settings)),
        loss_box_kd=Spy('corners', dict(type='DenseBoxTap', **settings)),
        loss_bin_kd=Spy('bins', dict(type='DenseBinTap', **settings)),
    )
    distiller = attach(losses, student, teacher)
    head, calls = teacher.model.bbox_head, []
    layers = dict(head=head, cls=head.gfl_cls, reg=head.gfl_reg)
    for name, layer in layers.items():
        layer.register_forward_hook(lambda *_, name=name: calls.append(name))
    found = student(**data_of(student, 0, 1), mode='loss')
    runs = 2 if crossed else 1
    levels = len(dense.LEVELS)
    assert calls.count('head') == 1
    # The crossed tower of the boxes runs once for both taps.
    assert calls.count('cls') == calls.count('reg') == runs * levels
    sum(found[name] for name in losses).backward()
    distiller.check({name: found[name].item() for name in losses}, 1)


@pytest.mark.parametrize('crossed', [False, True])
def test_classes_are_matched_by_name(crossed, tmp_path):
    student = build_dense('atss').train()
    names = ('owl', 'ant', 'cat', 'dog')
    order = [names.index(name) for name in tiny.CLASSES]
    teacher = Teacher(**save_dense(tmp_path / 't.pth', 'atss', classes=names))
    head = Spy('sigmoid', dict(HEAD, crossed=crossed, reuse=1))
    box = Spy('corners', dict(type='DenseBoxTap', weights='confidence'))
    gap = Spy('corners', dict(type='DenseBoxTap', weights='gap'))
    losses = dict(loss_head=head, loss_box=box, loss_gap=gap)
    attach(losses, student, teacher)
    data = data_of(student, 0, 1)
    outputs = []
    student.bbox_head.register_forward_hook(
        lambda module, args, output: outputs.append(output)
    )
    student(**data, mode='loss')
    model = teacher.model
    with torch.no_grad():
        maps = model.bbox_head(
            model.extract_feat(teacher.to_input(data['inputs'], None))
        )[0]
    rows = torch.cat([rows_of(level, len(names)) for level in maps])
    expected = rows[:, order]
    torch.testing.assert_close(head.seen[1], expected)
    assert head.seen[0].shape == expected.shape
    torch.testing.assert_close(box.seen[3], expected.sigmoid().max(1)[0])
    own = torch.cat([rows_of(level, C) for level in outputs[0][0]])
    torch.testing.assert_close(
        gap.seen[3],
        (own.sigmoid() - expected.sigmoid()).abs().max(1)[0].detach(),
    )
    # A class that the student does not have would change it.
    assert (rows.sigmoid().max(1)[0] > box.seen[3] + 1e-4).any()


def test_half_precision(tmp_path):
    student = build_dense('gfl').train()
    teacher = Teacher(**save_dense(tmp_path / 't.pth', 'gfl'))
    taps = dict(
        loss_cls_kd=dict(BINARY, tap=dict(HEAD, crossed=True)),
        loss_box_kd=Spy('corners', dict(type='DenseBoxTap', crossed=True)),
        loss_bin_kd=Spy('bins', dict(type='DenseBinTap')),
    )
    attach(taps, student, teacher)
    with torch.autocast('cpu', torch.bfloat16):
        found = student(**data_of(student, 0, 1), mode='loss')
    terms = [found[name] for name in taps]
    assert all(x.dtype == torch.float32 and x.isfinite() for x in terms)
    sum(terms).backward()
    for p in student.parameters():
        assert p.grad is None or p.grad.isfinite().all()


@pytest.mark.parametrize('crossed', [False, True])
def test_no_teacher_runs_at_factor_0(crossed, tmp_path):
    student = build_dense('retina').train()
    teacher = Teacher(**save_dense(tmp_path / 't.pth', 'retina'))
    tap = dict(HEAD, crossed=crossed)
    distiller = attach(dict(loss_kd=dict(BINARY, tap=tap)), student, teacher)
    distiller.factor = 0.0
    found = student(**data_of(student, 0, 1), mode='loss')
    assert found['loss_kd'] == 0 and found['loss_kd'].requires_grad


def test_two_teachers_are_refused(tmp_path):
    student = build_dense('retina').train()
    teacher = Teacher(**save_dense(tmp_path / 't.pth', 'retina'))
    distiller = Distiller(dict(loss_kd=dict(BINARY, tap=HEAD)))
    with pytest.raises(TypeError, match='one teacher for DenseHeadTap'):
        distiller.attach(student, [teacher, teacher], tiny.CLASSES)


def test_softmax_losses_are_refused(tmp_path):
    """With a tap of dense heads, and without one."""
    kd = dict(type='KDLoss', tau=1.0)
    with pytest.raises(TypeError, match='to read logits, .* reads sigmoid'):
        Distiller(dict(loss_kd=dict(kd, tap=HEAD)))
    student = build_dense('retina').train()
    teacher = Teacher(**save_dense(tmp_path / 't.pth', 'retina'))
    with pytest.raises(TypeError, match='use a loss of sigmoids, such as'):
        Distiller(dict(loss_kd=kd)).attach(student, [teacher], tiny.CLASSES)
