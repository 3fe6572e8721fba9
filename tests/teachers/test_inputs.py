"""From the student's images to the teacher's."""

import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor

from mmkd_plugin.teachers.inputs import TeacherInput
from tests.helpers import tiny

RGB = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)
CAFFE = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0])


@pytest.mark.parametrize('student', [RGB, CAFFE, {}])
@pytest.mark.parametrize('teacher', [RGB, CAFFE, {}])
@pytest.mark.parametrize('divisors', [(32, 32), (32, 64), (64, 1)])
def test_equals_the_teachers_own_preprocessor(student, teacher, divisors):
    student = DetDataPreprocessor(**student, pad_size_divisor=divisors[0])
    teacher = DetDataPreprocessor(
        **teacher, pad_size_divisor=divisors[1], pad_value=0
    )
    seen = student(tiny.batch(0, 1), True)
    wanted = teacher(tiny.batch(0, 1), True)['inputs']
    got = TeacherInput(student, teacher)(seen['inputs'], seen['data_samples'])
    assert got.shape == wanted.shape
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-4)
    padding = wanted == 0
    assert padding.any()
    assert (got[padding].abs() < 1e-4).all()
    # The first image is the smaller one: padded with exact zeros.
    assert (got[0, :, 80:] == 0).all()
    assert (got[0, :, :, 100:] == 0).all()


def test_same_preprocessing_costs_nothing():
    student, teacher = (DetDataPreprocessor(**RGB) for _ in range(2))
    images = torch.randn(1, 3, 8, 8)
    assert TeacherInput(student, teacher)(images) is images
