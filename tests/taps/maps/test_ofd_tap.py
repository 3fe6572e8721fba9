"""OFDTap: margins, statistics of the batch, a teacher that stays as it is."""

import copy

import pytest
import torch

from mmkd_plugin.distill.terms import build_terms
from mmkd_plugin.taps import OFDTap
from mmkd_plugin.taps.maps.margins import margins
from tests.helpers import tiny_cls
from tests.helpers.stage_networks import build
from tests.helpers.teachers import Shown


@pytest.fixture
def models():
    """A student in training, and a teacher of twice its width."""
    student = tiny_cls.build_classifier().train()
    teacher = tiny_cls.build_classifier(1, width=8).eval()
    for module in teacher.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.normal_(module.running_mean)
    return student, teacher.requires_grad_(False)


def read(tap, student, teacher, indices=(0, 1, 5)):
    """A step, in which the teacher runs before the student."""
    seen = []
    handle = student.register_forward_pre_hook(
        lambda model, args, kwargs: seen.append(
            Shown(teacher, kwargs['inputs'])
        ),
        with_kwargs=True,
    )
    data = student.data_preprocessor(tiny_cls.batch(*indices), True)
    student(**data, mode='loss')
    handle.remove()
    return tap.take(seen[0]), data['inputs']


def preactivations(model, images):
    """The sums of its stages, and the margins from their batch norms."""
    found, last = [], {}
    backbone = model.backbone
    for stage in (backbone.layer1, backbone.layer2, backbone.layer3):
        stage[0].relu.register_forward_pre_hook(
            lambda module, args, stage=stage: last.update({stage: args[0]})
        )
    with torch.no_grad():
        model.extract_feat(images)
    for stage, before in last.items():
        norm = stage[0].bn2
        margin = margins(norm.weight, norm.bias)[:, None, None]
        found.append(before.clamp(min=margin))
    return found


@pytest.mark.parametrize('batch_statistics', [True, False])
def test_maps_of_the_teacher(models, batch_statistics):
    student, teacher = models
    other = copy.deepcopy(teacher).train(batch_statistics)
    tap = OFDTap(batch_statistics=batch_statistics)
    tap.refuse('teacher', teacher)
    tap.attach(student, teacher)
    reading, images = read(tap, student, teacher)
    expected = preactivations(other, images)
    for found, wanted in zip(reading.teacher, expected, strict=True):
        torch.testing.assert_close(found, wanted)
    assert [m.shape[1] for m in reading.student] == [4, 8, 8]
    assert [m.shape[1] for m in reading.teacher] == [8, 16, 16]
    assert all(m.min() < 0 and m.requires_grad for m in reading.student)


def test_the_teacher_stays_as_it_is(models):
    """Bit for bit, after ten steps, and in evaluation between them."""
    student, teacher = models
    before = copy.deepcopy(teacher.state_dict())
    images = torch.randn(2, 3, 16, 16)
    predicted = teacher.extract_feat(images)[0]
    tap = OFDTap()
    tap.attach(student, teacher)
    for _ in range(10):
        read(tap, student, teacher)
        assert torch.equal(teacher.extract_feat(images)[0], predicted)
    assert not any(module.training for module in teacher.modules())
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    tap.detach()
    assert not any(m._forward_hooks for m in teacher.modules())
    assert not any(m._forward_pre_hooks for m in student.modules())


def test_read_by_the_output_of_a_batch_norm():
    """The tap reads what is normalised by the batch."""
    student, teacher = build('wrn_16_2'), build('wrn_16_2').eval()
    for norm in teacher.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(norm.running_mean)
    tap = OFDTap()
    tap.attach(student, teacher)
    images = torch.randn(4, 3, 32, 32)
    tap._maps._begin(student, (images, None, 'loss'), {})
    shown = Shown(teacher, images)
    student.extract_feat(images)
    last = tap.take(shown).teacher[-1]
    # Mean 0 and deviation 1, cut at the mean of what is below 0.
    assert last.mean() == pytest.approx(0.16, abs=0.05)
    assert last.min() == pytest.approx(-0.798, abs=0.001)


def test_larger_maps_are_pooled():
    student, teacher = build('vgg8'), build('resnet20').eval()
    tap = OFDTap('preactivations.4', 'preactivations.3')
    tap.attach(student, teacher)
    images = torch.randn(2, 3, 32, 32)
    tap._maps._begin(student, (images, None, 'loss'), {})
    shown = Shown(teacher, images)
    student.extract_feat(images)
    reading = tap.take(shown)
    assert reading.student[0].shape == (2, 512, 4, 4)
    assert reading.teacher[0].shape == (2, 64, 4, 4)


def test_no_teacher_runs(models):
    tap = OFDTap()
    tap.attach(*models)
    assert tap.take(None) is None
    data = models[0].data_preprocessor(tiny_cls.batch(0, 1), True)
    models[0](**data, mode='loss')
    reading = tap.take(None)
    assert all(map(torch.equal, reading.student, reading.teacher))
    assert not reading.teacher[0].requires_grad


def test_one_image_of_one_place():
    student, teacher = build('resnet18'), build('resnet18').eval()
    tap = OFDTap('preactivations.-1')
    tap.attach(student, teacher)
    images = torch.randn(1, 3, 32, 32)
    tap._maps._begin(student, (images, None, 'loss'), {})
    message = 'one image and one place: give .*`batch_statistics=False`'
    with pytest.raises(ValueError, match=message):
        teacher.extract_feat(images)


def test_refused():
    message = 'knows no preactivations of the CIFARMobileNetV2 of the {}'
    for role in ('student', 'teacher'):
        with pytest.raises(TypeError, match=message.format(role)):
            OFDTap().refuse(role, build('mobilenetv2'))
    assert not OFDTap().fits(build('mobilenetv2'))
    OFDTap().refuse('student', build('shufflev1'))
    with pytest.raises(TypeError, match='OFDTap takes margins'):
        OFDTap().refuse('teacher', build('shufflev1'))
    with pytest.raises(TypeError, match='`batch_statistics` to be True or'):
        OFDTap(batch_statistics=1)


def test_maps_without_margins_are_refused():
    loss = dict(
        type='OFDLoss',
        student_channels=[4],
        teacher_channels=[4],
        loss_weight=1.0,
        tap=dict(type='FeatureTap', modules='preactivations'),
    )
    with pytest.raises(TypeError, match='FeatureTap, which reads features'):
        build_terms(dict(loss_ofd=loss))
