"""ClassMapTap: the maps of each class, in the student's order."""

import pytest
import torch
from torch import nn

from mmkd_plugin.taps import ClassMapTap
from mmkd_plugin.taps.maps.class_map_tap import class_maps
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny, tiny_cls


@pytest.fixture
def student():
    return tiny_cls.build_classifier().train()


def teach(student, path, classes, **kwargs):
    """A teacher of some classes, prepared for the student."""
    number = len(classes)
    cfg = tiny_cls.save_teacher(path, classes=classes, num_classes=number)
    teacher = Teacher(**cfg, **kwargs)
    tap = ClassMapTap()
    teacher.prepare(student, intact=tap.intact)
    teacher.match(
        tiny_cls.CLASSES, 3, tap.num_classes(teacher.model), tap.background
    )
    return tap, teacher


def read(tap, student, teacher):
    """The reading of a batch, and the student's logits."""
    for role, model in (('student', student), ('teacher', teacher.model)):
        assert tap.fits(model)
        tap.refuse(role, model)
    tap.attach(student, teacher.model)
    data = student.data_preprocessor(tiny_cls.batch(0, 1, 5), True)
    logits = []
    student.head.fc.register_forward_hook(
        lambda module, args, output: logits.append(output)
    )
    student(**data, mode='loss')
    teacher.see(data['inputs'], data['data_samples'])
    reading = tap.take(teacher)
    teacher.features = teacher._features
    teacher.forget()
    return reading, logits[0]


def logits_of(teacher, inputs):
    with torch.no_grad():
        return teacher.model.head(inputs)


def test_means_of_the_maps_are_the_logits(student, tmp_path):
    tap, teacher = teach(student, tmp_path / 't.pth', tiny_cls.CLASSES)
    reading, logits = read(tap, student, teacher)
    assert reading.student.shape == reading.teacher.shape == (3, 3, 4, 4)
    head = teacher.model.head
    for maps, found, bias in (
        (reading.student, logits, student.head.fc.bias),
        (reading.teacher, logits_of(teacher, teacher.features), head.fc.bias),
    ):
        torch.testing.assert_close(maps.mean((2, 3)) + bias, found)
    assert reading.labels is None and reading.weights is None
    assert not reading.teacher.requires_grad
    assert tap.take(teacher) is None


def test_gradient_reaches_map_and_weight(student, tmp_path):
    tap, teacher = teach(student, tmp_path / 't.pth', tiny_cls.CLASSES)
    reading, _ = read(tap, student, teacher)
    reading.student.square().sum().backward()
    assert student.head.fc.weight.grad.ne(0).all()
    assert student.head.fc.bias.grad is None
    assert student.backbone.conv1.weight.grad.ne(0).any()


def test_classes_in_another_order(student, tmp_path):
    order = ('owl', 'cat', 'ape', 'dog')
    tap, teacher = teach(student, tmp_path / 't.pth', order)
    reading, _ = read(tap, student, teacher)
    logits = logits_of(teacher, teacher.features)
    found = (
        reading.teacher.mean((2, 3)) + teacher.model.head.fc.bias[[1, 3, 0]]
    )
    torch.testing.assert_close(found, logits[:, [1, 3, 0]])


def test_classes_that_the_teacher_lacks_are_left_out(student, tmp_path):
    tap, teacher = teach(
        student,
        tmp_path / 't.pth',
        ('owl', 'cat'),
        missing_classes='leave_out',
    )
    reading, logits = read(tap, student, teacher)
    assert reading.student.shape == reading.teacher.shape == (3, 2, 4, 4)
    known = [0, 2]
    for maps, found, bias in (
        (reading.student, logits[:, known], student.head.fc.bias[known]),
        (
            reading.teacher,
            logits_of(teacher, teacher.features)[:, [1, 0]],
            teacher.model.head.fc.bias[[1, 0]],
        ),
    ):
        torch.testing.assert_close(maps.mean((2, 3)) + bias, found)


def test_no_teacher_runs(student, tmp_path):
    tap, teacher = teach(student, tmp_path / 't.pth', tiny_cls.CLASSES)
    tap.attach(student, teacher.model)
    data = student.data_preprocessor(tiny_cls.batch(0), True)
    student(**data, mode='loss')
    reading = tap.take(None)
    assert reading.student.requires_grad
    assert not reading.teacher.requires_grad
    tap.detach()
    assert tap.take(None) is None


def test_half_precision_is_widened():
    """Its products would overflow."""
    features = torch.full((1, 2, 2, 2), 300.0, dtype=torch.float16)
    weight = torch.full((1, 2), 200.0)
    with torch.autocast('cpu', torch.bfloat16):
        found = class_maps(features, weight)
    assert found.dtype == torch.float32
    assert found.eq(120000).all()


@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_models_without_such_maps(student, role):
    message = f'{role} FasterRCNN to have a neck GlobalAveragePooling, from'
    with pytest.raises(TypeError, match=message):
        ClassMapTap().refuse(role, tiny.build_detector())
    student.head = nn.Linear(8, 3)
    with pytest.raises(TypeError, match='to have a head LinearClsHead, from'):
        ClassMapTap().refuse(role, student)
    assert not ClassMapTap().fits(student)
