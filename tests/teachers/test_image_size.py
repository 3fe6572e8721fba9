"""Teachers of another image size than the student's."""

import pytest
import torch
from torch.nn import functional as F

from mmkd_plugin.teachers import Teacher
from mmkd_plugin.teachers.image_size import built_size, extract_feat
from mmkd_plugin.teachers.inputs import TeacherInput
from tests.helpers import tiny, tiny_cls, tiny_vit

BEIT = dict(type='BEiTViT', use_rel_pos_bias=True)


def shown(teacher, student, *indices):
    """A teacher that has seen images of a student, and these images."""
    teacher.prepare(student, intact=True)
    data = student.data_preprocessor(tiny.batch(*indices), True)
    teacher.see(data['inputs'], data['data_samples'])
    return data['inputs']


@pytest.mark.parametrize(
    'size, wanted',
    [((64, 64), (64, 64)), (14 / 16, (84, 112)), (2, (192, 256))],
)
def test_images_are_resized_with_their_padding(tmp_path, size, wanted):
    cfg = tiny_vit.save_vit(tmp_path / 'vit.pth')
    teacher = Teacher(**cfg, input_size=size)
    student = tiny.build_detector()
    inputs = shown(teacher, student, 0, 1)
    got = teacher.to_input(inputs, tiny.batch(0, 1)['data_samples'])
    # The normalisation is the student's, so that only the size differs.
    want = F.interpolate(inputs, wanted, mode='bilinear', antialias=True)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    assert teacher.image_size == wanted
    assert f'input_size={size}' in str(teacher)


def test_padding_has_the_value_of_the_teacher_before_it_is_resized():
    student = tiny.build_detector().data_preprocessor
    cfg = tiny.detector_cfg(std=[1.0, 1.0, 1.0], pad_value=0)
    with_other_std = tiny.MODELS.build(
        {**cfg.data_preprocessor, 'type': 'mmdet.DetDataPreprocessor'}
    )
    data = student(tiny.batch(0, 1), True)
    convert = TeacherInput(student, with_other_std, 0.5)
    got = convert(data['inputs'], data['data_samples'])
    assert got.shape[-2:] == (48, 64)
    # The first image is of 80 x 100; the filter reaches two pixels further.
    assert (got[0, :, 42:] == 0).all() and (got[0, :, :, 52:] == 0).all()
    assert (got[0, :, :38, :48] != 0).all()


def test_without_it_a_vit_takes_other_sizes(tmp_path):
    """MMPretrain's resize the position embeddings, and pad to the patch."""
    teacher = Teacher(**tiny_vit.save_vit(tmp_path / 'vit.pth', patch=14))
    inputs = shown(teacher, tiny.build_detector(), 0, 1)
    assert inputs.shape[-2:] == teacher.image_size == (96, 128)
    assert teacher.answer(lambda model, maps: maps[0].shape[-2:]) == (7, 10)


def test_fixed_size_is_refused_in_a_sentence(tmp_path):
    cfg = tiny_vit.save_vit(tmp_path / 'vit.pth', **BEIT)
    student = tiny.build_detector()
    with pytest.raises(
        ValueError,
        match=r'ImageClassifier was built for images of 64 x 64 and cannot '
        r'take those of 96 x 128 \(The size of .*\): set '
        r'`input_size=\(64, 64\)` in `teacher`',
    ):
        shown(Teacher(**cfg), student, 0, 1)
    teacher = Teacher(**cfg, input_size=(64, 64))
    shown(teacher, student, 0, 1)
    assert teacher.answer(lambda model, maps: maps[0].shape[-2:]) == (4, 4)


def test_other_errors_of_a_teacher_stay_as_they_are():
    model = tiny_vit.build_vit()
    assert built_size(model) == (64, 64)
    assert built_size(tiny_cls.build_classifier()) is None
    with pytest.raises(RuntimeError, match='expected input.* 3 channels'):
        extract_feat(model, torch.ones(1, 5, 32, 32))


@pytest.mark.parametrize(
    'value, message',
    [
        ('224', 'to be a height and a width, .* or a factor'),
        ((224,), 'to be a height and a width'),
        (True, 'to be a height and a width'),
        ((224, 0), '`teacher.input_size` to be an integer >= 1'),
        (0, '`teacher.input_size` to be a number from'),
        (224, '`teacher.input_size` to be a number from'),
    ],
)
def test_input_size(tmp_path, value, message):
    cfg = tiny_vit.save_vit(tmp_path / 'vit.pth')
    with pytest.raises((TypeError, ValueError), match=message):
        Teacher(**cfg, input_size=value)


def test_classifier_is_evaluated_at_that_size(tmp_path):
    head = dict(
        type='LinearClsHead', num_classes=3, in_channels=tiny_vit.WIDTH
    )
    cfg = tiny_vit.save_vit(
        tmp_path / 'vit.pth', head=head, out_type='cls_token'
    )
    teacher = Teacher(**cfg, input_size=(64, 64))
    sizes = []
    teacher.model.backbone.register_forward_pre_hook(
        lambda module, args: sizes.append(tuple(args[0].shape[-2:]))
    )
    found = teacher.predict(tiny_cls.batch(0, 1))
    assert sizes == [(64, 64)] and len(found) == 2
    assert all(0 <= int(sample.pred_label) < 3 for sample in found)
