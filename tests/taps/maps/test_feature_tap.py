"""FeatureTap: which maps it reads, how they pair, what it refuses."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmkd_plugin.taps import FeatureTap
from mmkd_plugin.taps.maps import map_sizes
from mmkd_plugin.taps.maps.feature_tap import ground_truth
from tests.helpers import tiny, tiny_cls
from tests.helpers.teachers import Shown


@pytest.fixture
def student():
    return tiny.build_detector().train()


@pytest.fixture
def teacher():
    return tiny.build_detector(seed=1).eval()


def step(tap, student, teacher, count=2):
    """A forward of the student; the maps of both by direct calls."""
    tap.refuse('student', student)
    tap.refuse('teacher', teacher)
    tap.attach(student, teacher)
    data = student.data_preprocessor(tiny.batch(*range(count)), True)
    found = {}
    handle = student.neck.register_forward_hook(
        lambda module, args, output: found.update(neck=output)
    )
    student(**data, mode='loss')
    handle.remove()
    return data, found['neck']


def test_reads_the_neck(student, teacher):
    tap = FeatureTap()
    data, maps = step(tap, student, teacher)
    shown = Shown(teacher, data['inputs'])
    reading = tap.take(shown)
    assert len(reading.student) == len(maps) > 1
    for own, other, wanted, of_teacher in zip(
        reading.student, reading.teacher, maps, shown.features, strict=True
    ):
        assert own is wanted
        assert own.requires_grad and not other.requires_grad
        assert torch.equal(other, of_teacher)
    assert reading.weights is None
    assert tap.take(shown) is None


def test_boxes_are_fractions_of_the_padded_batch(student, teacher):
    tap = FeatureTap()
    data, _ = step(tap, student, teacher)
    reading = tap.take(Shown(teacher, data['inputs']))
    height, width = data['inputs'].shape[-2:]
    for boxes, sample in zip(
        reading.labels, data['data_samples'], strict=True
    ):
        wanted = sample.gt_instances.bboxes
        assert len(wanted)
        size = torch.tensor([width, height, width, height])
        torch.testing.assert_close(boxes * size, wanted)
        assert ((boxes >= 0) & (boxes <= 1)).all()


def test_levels_are_named_by_stride(student, teacher):
    tap = FeatureTap(levels=['p4', 'p2'])
    data, _ = step(tap, student, teacher)
    reading = tap.take(Shown(teacher, data['inputs']))
    width = data['inputs'].shape[-1]
    assert [x.shape[-1] for x in reading.student] == [width // 16, width // 4]
    assert [x.shape for x in reading.teacher] == [
        x.shape for x in reading.student
    ]


def test_missing_level(student, teacher):
    tap = FeatureTap(levels=['p9'])
    data, _ = step(tap, student, teacher)
    with pytest.raises(RuntimeError, match='Expected level p9 .* but got p2'):
        tap.take(Shown(teacher, data['inputs']))


@pytest.mark.parametrize(
    'modules, levels',
    [
        ('backbone', None),
        ('backbone', ['p4', 'p5']),
        ('backbone.layer3', None),
        (['backbone.layer2', 'backbone.layer4.1.relu'], None),
        # Several maps of one stride.
        (['backbone.layer3.0', 'backbone.layer3.1'], None),
        (['neck.lateral_convs.0', 'neck.fpn_convs.0.conv'], None),
    ],
)
def test_modules_by_path(student, teacher, modules, levels):
    tap = FeatureTap(modules, levels=levels)
    wanted = []
    paths = [modules] if isinstance(modules, str) else modules
    if levels is None:
        for path in paths:
            teacher.get_submodule(path).register_forward_hook(
                lambda module, args, output: wanted.extend(
                    output if isinstance(output, tuple) else [output]
                )
            )
    data, _ = step(tap, student, teacher)
    reading = tap.take(Shown(teacher, data['inputs']))
    assert len(reading.student) == len(reading.teacher)
    if levels is None:
        assert all(
            torch.equal(a, b)
            for a, b in zip(reading.teacher, wanted, strict=True)
        )
        assert any(
            not torch.equal(a, b)
            for a, b in zip(reading.teacher, reading.student)
        )
    assert tap._recorders[0]._maps is None  # nothing is kept
    assert tap._recorders[1]._maps is None


def test_module_of_dense_head_gives_a_map_per_level(student, teacher):
    tap = FeatureTap('rpn_head.rpn_conv')
    assert tap.intact
    data, maps = step(tap, student, teacher)
    with pytest.raises(
        RuntimeError, match='reads of the teacher ran in this step'
    ):
        tap.take(Shown(teacher, data['inputs']))  # only backbone and neck run
    own = FeatureTap('rpn_head.rpn_conv', teacher_modules='neck')
    data, maps = step(own, student, teacher)
    reading = own.take(Shown(teacher, data['inputs']))
    assert len(reading.student) == len(maps)


def test_overwritten_in_place(student, teacher):
    """The output of a batch normalisation before an in-place ReLU."""
    tap = FeatureTap('backbone.layer1.0.bn1')
    data, _ = step(tap, student, teacher)
    with pytest.raises(RuntimeError, match='overwritten in place'):
        tap.take(Shown(teacher, data['inputs']))


def test_no_map(student, teacher):
    tap = FeatureTap('roi_head.bbox_head.shared_fcs.0', 'neck')
    tap.attach(student, teacher)
    data = student.data_preprocessor(tiny.batch(0), True)
    with pytest.raises(RuntimeError, match=r'gave a Tensor of shape \(\d+, '):
        student(**data, mode='loss')


def test_detector_of_one_stage(teacher):
    cfg = tiny.detector_cfg()
    rpn = cfg.pop('rpn_head')
    cfg.pop('roi_head')
    cfg.update(
        type='RetinaNet',
        bbox_head=dict(rpn, type='RetinaHead', num_classes=3, stacked_convs=1),
        train_cfg=cfg['train_cfg']['rpn'],
        test_cfg=cfg['test_cfg']['rcnn'],
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        student = MODELS.build(cfg)
    tap = FeatureTap(levels=['p3', 'p4'])
    tap.refuse('student', student)
    data, maps = step(tap, student, teacher)
    reading = tap.take(Shown(teacher, data['inputs']))
    assert [x.shape for x in reading.student] == [x.shape for x in maps[1:3]]
    assert len(reading.teacher) == 2


class Coarser(nn.Module):
    """A neck of other sizes."""

    def __init__(self, neck, step):
        super().__init__()
        self.neck, self.step = neck, step

    def forward(self, x):
        return tuple(
            nn.functional.max_pool2d(y, 2, 2, ceil_mode=True)
            if i == self.step
            else y
            for i, y in enumerate(self.neck(x))
        )


def test_other_sizes(student, teacher):
    teacher.neck = Coarser(teacher.neck, 0)
    tap = FeatureTap()
    data, _ = step(tap, student, teacher)
    with pytest.raises(RuntimeError, match='read p2, .* of the student and'):
        tap.take(Shown(teacher, data['inputs']))
    tap.detach()


def classifiers(student, teacher):
    """Two of 32 pixels, and the images of a batch."""
    models = []
    for n, backbone in enumerate((student, teacher)):
        model = tiny_cls.build_classifier(n)
        model.backbone = MODELS.build(backbone)
        models.append(model)
    # The last layer does not fit, but is not run.
    models[0].head.loss = lambda features, samples: {}
    return models[0].train(), models[1].eval()


def read_maps(tap, student, teacher):
    """The reading of a tap of two classifiers."""
    tap.refuse('student', student)
    tap.refuse('teacher', teacher)
    tap.attach(student, teacher)
    images = torch.rand(2, 3, 32, 32)
    student(images, None, mode='loss')
    reading = tap.take(Shown(teacher, images))
    tap.detach()
    return reading


RESNET = dict(type='CIFARResNet', depth=8, channels=(4, 4, 8, 8))
SHUFFLE = dict(type='CIFARShuffleNetV1')


def test_stages_pair_in_their_order():
    """Of other strides, with the larger maps pooled, or as they are."""
    student, teacher = classifiers(RESNET, SHUFFLE)
    message = r'map.* differ in size: student \(32, 32\), teacher \(16, 16\)'
    with pytest.raises(RuntimeError, match=message):
        read_maps(FeatureTap('stages'), student, teacher)
    kept = read_maps(FeatureTap('stages', resize='keep'), student, teacher)
    assert [x.shape[1:] for x in kept.student] == [
        (4, 32, 32),
        (8, 16, 16),
        (8, 8, 8),
    ]
    assert [x.shape[1:] for x in kept.teacher] == [
        (240, 16, 16),
        (480, 8, 8),
        (960, 4, 4),
    ]
    for models in ((student, teacher), (teacher, student)):
        own, other = models[0].train(), models[1].eval()
        own.head.loss = lambda features, samples: {}
        pooled = read_maps(FeatureTap('stages', resize='pool'), own, other)
        for maps in (pooled.student, pooled.teacher):
            assert [x.shape[-1] for x in maps] == [16, 8, 4]


def test_pooling_is_the_mean_of_places():
    own, other = torch.rand(2, 3, 8, 8), torch.rand(2, 5, 4, 4)
    found, kept = map_sizes.fit(own, other, 'pool', 'p3')
    expected = own.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean((3, 5))
    torch.testing.assert_close(found, expected)
    assert torch.equal(kept, other)


def test_preactivations_and_pooled_of_the_teacher():
    student, teacher = classifiers(RESNET, RESNET)
    tap = FeatureTap(['stages', 'pooled'], ['preactivations', 'pooled'])
    assert tap.intact
    reading = read_maps(tap, student, teacher)
    assert len(reading.student) == len(reading.teacher) == 4
    for maps, is_signed in ((reading.student, False), (reading.teacher, True)):
        assert [x.min().item() < 0 for x in maps[:3]] == [is_signed] * 3
        assert maps[3].shape == (2, 8, 1, 1)
    last = reading.teacher[2].relu().mean((2, 3), keepdim=True)
    torch.testing.assert_close(reading.teacher[3], last)


def test_other_number_of_stages():
    student, teacher = classifiers(RESNET, dict(type='CIFARVGG', depth=8))
    with pytest.raises(RuntimeError, match='3 maps of .* and 4 of the teach'):
        read_maps(FeatureTap('stages', resize='pool'), student, teacher)
    own = ['stages.1', 'stages.2', 'stages.3']
    tap = FeatureTap(own, ['stages.1', 'stages.2', 'stages.4'], resize='pool')
    reading = read_maps(tap, student, teacher)
    assert [x.shape[-1] for x in reading.student] == [16, 8, 4]


def test_stages_of_a_model_without_them(student):
    student.backbone = nn.Identity()
    assert not FeatureTap('stages').fits(student)
    with pytest.raises(TypeError, match='knows no stages of the Identity'):
        FeatureTap('stages').refuse('student', student)


class Cropped(nn.Module):
    def __init__(self, neck):
        super().__init__()
        self.neck = neck

    def forward(self, x):
        first, *rest = self.neck(x)
        return (first[..., :-1, :], *rest)


def test_resize(student, teacher):
    teacher.neck = Cropped(teacher.neck)
    tap = FeatureTap()
    data, _ = step(tap, student, teacher)
    with pytest.raises(RuntimeError, match='p2 differ in size.*resize=True'):
        tap.take(Shown(teacher, data['inputs']))
    tap.detach()
    tap = FeatureTap(resize=True)
    data, maps = step(tap, student, teacher)
    reading = tap.take(Shown(teacher, data['inputs']))
    first = reading.student[0]
    assert first.shape == reading.teacher[0].shape
    torch.testing.assert_close(
        first,
        nn.functional.interpolate(
            maps[0], first.shape[-2:], mode='bilinear', align_corners=False
        ),
    )
    assert reading.student[1] is maps[1]


def test_evaluation_and_copies_are_not_recorded(student, teacher):
    tap = FeatureTap('backbone')
    tap.attach(student, teacher)
    student.eval().test_step(tiny.batch(0))
    copy.deepcopy(student).train().forward(
        **student.data_preprocessor(tiny.batch(0), True), mode='loss'
    )
    assert tap._recorders[0]._maps is None
    assert tap.take(None) is None


def test_no_teacher_runs(student, teacher):
    tap = FeatureTap('backbone')
    _, maps = step(tap, student, teacher)
    reading = tap.take(None)
    assert all(x.requires_grad for x in reading.student)
    assert not any(x.requires_grad for x in reading.teacher)


def test_detach(student, teacher):
    tap = FeatureTap('backbone')
    step(tap, student, teacher)
    tap.detach()
    assert tap.take(None) is None
    for model in (student, teacher):
        assert not any(
            m._forward_hooks or m._forward_pre_hooks for m in model.modules()
        )


def test_classifier(tmp_path):
    student, teacher = (tiny_cls.build_classifier(seed=n) for n in (0, 1))
    tap = FeatureTap('backbone')
    tap.refuse('student', student)
    tap.attach(student.train(), teacher)
    data = student.data_preprocessor(tiny_cls.batch(0, 1), True)
    student(**data, mode='loss')
    reading = tap.take(Shown(teacher.eval(), data['inputs']))
    assert reading.student[0].shape == reading.teacher[0].shape
    assert reading.labels is None


@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_missing_module(student, role):
    name = 'modules' if role == 'student' else 'teacher_modules'
    with pytest.raises(
        TypeError, match=f"no module 'bone', .* set `{name}` .* backbone, neck"
    ):
        FeatureTap('bone').refuse(role, student)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(modules=3), '`modules` to be the path'),
        (dict(modules=[]), '`modules` to be the path'),
        (dict(modules=['neck', '']), '`modules` to be the path'),
        (dict(modules=['neck', 'neck']), 'name each module once'),
        (dict(teacher_modules=3), '`teacher_modules` to be the path'),
        (dict(levels='p3'), '`levels` to be a list of names'),
        (dict(levels=[]), '`levels` to be a list of names'),
        (dict(levels=[3]), '`levels` to hold different names'),
        (dict(levels=['p3', 'p3']), '`levels` to hold different names'),
        (dict(resize=1), '`resize` to be True or False'),
        (dict(resize='crop'), '`resize` to be one of pool, keep'),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        FeatureTap(**arguments)


def test_rotated_boxes_are_left_out():
    sample = tiny.batch(0)['data_samples'][0]
    assert len(ground_truth([sample], (96, 128))) == 1
    boxes = torch.ones(3, 5)
    sample.gt_instances.bboxes = boxes
    assert ground_truth([sample], (96, 128)) is None
