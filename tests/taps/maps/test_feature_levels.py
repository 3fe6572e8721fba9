"""FeatureTap: levels of detectors of other kinds, and other image sizes."""

import math

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.registry import MODELS, DefaultScope
from torch.nn import functional as F

from mmkd_plugin.losses import PKDLoss
from mmkd_plugin.taps import FeatureTap
from mmkd_plugin.taps.maps.feature_levels import nearest_level
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny, tiny_vit
from tests.helpers.other_detectors import dense_cfg, swin_cfg

STRIDES = dict(p2=4, p3=8, p4=16, p5=32, p6=64, p7=128)
# Student, teacher, and the levels that both have.
PAIRS = {
    'FCOS -> RetinaNet': (
        dense_cfg('RetinaNet'),
        dense_cfg('FCOS', pad_size_divisor=256),
        ['p3', 'p4', 'p5', 'p6', 'p7'],
    ),
    'Swin Mask R-CNN -> RetinaNet': (
        dense_cfg('RetinaNet'),
        swin_cfg(pad_size_divisor=64),
        ['p3', 'p4', 'p5', 'p6'],
    ),
    'RetinaNet -> Faster R-CNN': (
        tiny.detector_cfg(),
        dense_cfg('RetinaNet', pad_size_divisor=128),
        ['p3', 'p4', 'p5'],
    ),
    'Faster R-CNN -> RetinaNet': (
        dense_cfg('RetinaNet', pad_size_divisor=64),
        tiny.detector_cfg(pad_size_divisor=1),
        ['p3', 'p4', 'p5', 'p6'],
    ),
}


def build(cfg, seed=0):
    register_all_modules(init_default_scope=False)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(cfg)


def teacher_of(path, cfg):
    torch.save(build(cfg, 1).state_dict(), path)
    return Teacher(
        dict(default_scope='mmdet', model=cfg), str(path), fuse_bn=False
    )


def read(tap, student, teacher):
    """A reading, the maps of the student's neck, and its batch."""
    tap.refuse('student', student)
    tap.refuse('teacher', teacher.model)
    teacher.prepare(student, intact=tap.intact)
    tap.attach(student.train(), teacher.model)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    maps = []
    handles = [
        student.neck.register_forward_hook(
            lambda module, args, output: maps.extend(output)
        ),
        # As a Distiller does, after the tap's own hook.
        student.register_forward_pre_hook(
            lambda module, args: teacher.see(**data)
        ),
    ]
    student(**data, mode='loss')
    for handle in handles:
        handle.remove()
    reading = tap.take(teacher)
    tap.detach()
    return reading, maps, data


@pytest.mark.parametrize('name', PAIRS)
def test_detectors_of_other_kinds(tmp_path, name):
    """Each level of both covers the same pixels, whatever is padded."""
    student_cfg, teacher_cfg, levels = PAIRS[name]
    student = build(student_cfg)
    teacher = teacher_of(tmp_path / 't.pth', teacher_cfg)
    tap = FeatureTap(levels=levels)
    reading, maps, data = read(tap, student, teacher)
    size = data['inputs'].shape[-2:]
    both = [min(pair) for pair in zip(size, teacher.image_size)]
    assert tuple(size) != teacher.image_size
    by_width = {part.shape[-1]: part for part in maps}
    for own, other, level in zip(
        reading.student, reading.teacher, levels, strict=True
    ):
        height, width = (math.ceil(side / STRIDES[level]) for side in both)
        assert own.shape == other.shape == (2, 16, height, width)
        whole = by_width[math.ceil(size[-1] / STRIDES[level])]
        assert torch.equal(own, whole[..., :height, :width])
    for boxes, sample in zip(reading.labels, data['data_samples']):
        pixels = boxes * torch.tensor([*both[::-1], *both[::-1]])
        torch.testing.assert_close(pixels, sample.gt_instances.bboxes)
    PKDLoss(loss_weight=1.0)(*reading).backward()
    for part in (student.backbone, student.neck):
        grads = [p.grad for p in part.parameters() if p.grad is not None]
        assert any(grad.abs().max() > 0 for grad in grads)
    assert all(p.grad is None for p in teacher.model.parameters())


def vit_of(tmp_path, size=None, **kwargs):
    cfg = tiny_vit.save_vit(tmp_path / 'vit.pth', **kwargs)
    return Teacher(**cfg, input_size=size)


VIT = dict(modules='neck', teacher_modules='backbone', levels=['p4'])


def test_patch_16_is_p4(tmp_path):
    """The last row and column, of the student's padding alone, are cut."""
    student = build(tiny.detector_cfg(pad_size_divisor=128))
    reading, maps, *_ = read(FeatureTap(**VIT), student, vit_of(tmp_path))
    assert maps[2].shape[-2:] == (8, 8)
    assert reading.teacher[0].shape == (2, tiny_vit.WIDTH, 6, 8)
    assert torch.equal(reading.student[0], maps[2][..., :6, :])


def test_patch_14_is_p4_too(tmp_path):
    student = build(tiny.detector_cfg())
    teacher = vit_of(tmp_path, patch=14)
    with pytest.raises(
        RuntimeError, match=r'p4 differ .* \(6, 8\), teacher \(7'
    ):
        read(FeatureTap(**VIT), student, teacher)
    reading, maps, *_ = read(FeatureTap(**VIT, resize=True), student, teacher)
    wanted = F.interpolate(maps[2], (7, 10), mode='bilinear')
    torch.testing.assert_close(reading.student[0], wanted)


def test_factor_of_14_by_16_needs_no_resizing(tmp_path):
    student = build(tiny.detector_cfg())
    teacher = vit_of(tmp_path, 14 / 16, patch=14)
    reading, maps, *_ = read(FeatureTap(**VIT), student, teacher)
    assert reading.student[0] is maps[2]
    assert reading.teacher[0].shape[-2:] == (6, 8)


@pytest.mark.parametrize('size', [(64, 64), (224, 224), (32, 128)])
def test_levels_are_named_by_the_images_that_the_teacher_sees(tmp_path, size):
    student = build(tiny.detector_cfg())
    reading, maps, *_ = read(
        FeatureTap(**VIT, resize=True), student, vit_of(tmp_path, size)
    )
    places = tuple(side // 16 for side in size)
    assert reading.teacher[0].shape[-2:] == places
    wanted = F.interpolate(maps[2], places, mode='bilinear')
    torch.testing.assert_close(reading.student[0], wanted)
    # Boxes stay fractions of the student's batch, of which all is resized.
    first = tiny.batch(0)['data_samples'][0].gt_instances.bboxes
    pixels = reading.labels[0] * torch.tensor([128, 96, 128, 96])
    torch.testing.assert_close(pixels, first)


def test_one_map_teaches_several_levels(tmp_path):
    student = build(tiny.detector_cfg())
    tap = FeatureTap(
        **{**VIT, 'levels': ['p3', 'p4', 'p5']},
        teacher_levels=['p4', 'p4', 'p4'],
        resize=True,
    )
    teacher = vit_of(tmp_path)
    reading, maps, *_ = read(tap, student, teacher)
    assert [x.shape[-2:] for x in reading.student] == [(6, 8)] * 3
    for level, own in zip((1, 2, 3), reading.student):
        wanted = F.interpolate(maps[level], (6, 8), mode='bilinear')
        torch.testing.assert_close(own, wanted)
    with pytest.raises(
        RuntimeError,
        match='level p3 .* of the teacher but got p4.*teacher_lev',
    ):
        read(FeatureTap(**{**VIT, 'levels': ['p3']}), student, teacher)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (
            dict(levels=['p3'], teacher_levels='p4'),
            '`teacher_levels` to be a ',
        ),
        (
            dict(levels=['p3'], teacher_levels=['x']),
            '`teacher_levels` to hold',
        ),
        (dict(teacher_levels=['p4']), 'a name for each of `levels` but got '),
        (dict(levels=['p3'], teacher_levels=['p4'] * 2), 'a name for each of'),
    ],
)
def test_teacher_levels(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        FeatureTap(**arguments)


@pytest.mark.parametrize('width', [*range(64, 321, 32), 333, 1344])
@pytest.mark.parametrize('height', [96, 128, 160, 800])
def test_coarse_levels_of_small_images(height, width):
    """Rounding up makes them nearly twice as wide as their stride says."""
    size = height, width
    shapes = {
        n: tuple(math.ceil(side / 2**n) for side in size) for n in range(2, 8)
    }
    for n, shape in shapes.items():
        if list(shapes.values()).count(shape) == 1 and max(shape) > 1:
            assert nearest_level(torch.zeros(1, 1, *shape), size) == n
