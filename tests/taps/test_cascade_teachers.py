"""A cascade as the teacher of a detector with one box head."""

import copy

import pytest
import torch
from torch import nn

from mmkd_plugin.distill import Distiller
from mmkd_plugin.taps import RoIBoxTap, RoIHeadTap
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers import tiny
from tests.helpers.teachers import Shown


@pytest.fixture(scope='module')
def teacher():
    return tiny.build_detector(3, width=16, stages=3).eval()


@pytest.fixture
def student():
    return tiny.build_detector().train()


def read(tap, student, teacher):
    tap.refuse('student', student)
    tap.refuse('teacher', teacher)
    rois = []
    student.roi_head.bbox_roi_extractor.register_forward_pre_hook(
        lambda module, args: rois.append(args[1])
    )
    tap.attach(student, teacher)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    student(**data, mode='loss')
    shown = Shown(teacher, data['inputs'])
    return tap.take(shown), shown, rois[0]


@pytest.mark.parametrize('kind', [RoIHeadTap, RoIBoxTap])
def test_first_head_on_the_students_rois(student, teacher, kind):
    options = dict(rows='label') if kind is RoIBoxTap else {}
    reading, shown, rois = read(kind(**options), student, teacher)
    head = teacher.roi_head
    with torch.no_grad():
        cut = head.bbox_roi_extractor[0](shown.features[:4], rois)
        wanted = head.bbox_head[0](cut)
        later = head.bbox_head[1](head.bbox_roi_extractor[1](
            shown.features[:4], rois))  # fmt: skip
    index = 1 if kind is RoIBoxTap else 0
    assert torch.equal(reading.teacher, wanted[index])
    assert not torch.allclose(reading.teacher, later[index])


def test_crossed(student, teacher):
    reading, _, _ = read(RoIHeadTap(crossed=True), student, teacher)
    assert reading.student.requires_grad
    assert reading.student.shape == reading.teacher.shape


def test_the_log_says_what_is_read(teacher):
    assert RoIHeadTap().reads(teacher) == 'the first of its 3 box heads'
    assert RoIBoxTap().reads(tiny.build_detector()) == 'its box head'


def test_a_semantic_branch_is_refused(teacher):
    model = copy.copy(teacher)
    model._modules = dict(model._modules)
    model.roi_head = copy.copy(teacher.roi_head)
    model.roi_head._modules = dict(teacher.roi_head._modules)
    model.roi_head.with_semantic = True
    with pytest.raises(TypeError, match='features of a semantic branch'):
        RoIHeadTap().refuse('teacher', model)


def test_as_a_teacher_of_dist(student, tmp_path):
    other = tiny.save_teacher(tmp_path / 't.pth', width=16, stages=3)
    losses = dict(
        loss_dist=dict(type='DISTLoss', beta=1.0, gamma=1.0, tau=1.0),
        loss_box=dict(type='BoxL1Loss'),
    )
    distiller = Distiller(losses)
    distiller.attach(student, [Teacher(**other)], tiny.CLASSES)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    found = student(**data, mode='loss')
    (found['loss_dist'] + found['loss_box']).backward()
    weight = student.backbone.conv1.weight
    assert isinstance(weight, nn.Parameter) and weight.grad.abs().sum() > 0
    assert 0 <= found['kd_agreement'] <= 100
