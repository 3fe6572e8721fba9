"""Students, schedules, teachers and weights of two-stage detectors, COCO."""

import functools
import re
from typing import NamedTuple

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmkd_plugin.teachers.config import load_config
from tests.helpers.det_configs import (
    CONFIGS,
    TWO_STAGE,
    box_ap,
    build,
    load,
    methods_of,
    parts_of,
    student_of,
    zoo,
)
from tests.helpers.tiny import batch

STRIDES = (4, 8, 16, 32, 64)
SHORT_SIDES = (640, 672, 704, 736, 768, 800)


class Schedule(NamedTuple):
    """How a student is trained.

    Attributes:
        gpus: Those of its command.
        images: Per GPU.
        lr: Learning rate.
        epochs: How many.
        drops: Epochs after which the rate is divided by 10.
        warmup: Iterations.
    """

    gpus: int
    images: int
    lr: float
    epochs: int
    drops: tuple[int, int]
    warmup: int


ONE = Schedule(8, 2, 0.02, 12, (8, 11), 500)
TWO = ONE._replace(epochs=24, drops=(16, 22))
# CKD's: 360,000 steps of 8 images, or of 4 at the same rate.
LONG = Schedule(2, 4, 0.01, 24, (16, 22), 1000)
LIGHT = LONG._replace(images=2, epochs=12, drops=(8, 11))
STUDENTS = dict(
    frcnn_r18=ONE,
    frcnn_r50=ONE,
    frcnn_mv2=ONE,
    frcnn_r50_2x=TWO,
    frcnn_r18_ms=LIGHT,
    frcnn_r50_ms=LONG,
    frcnn_mv2_ms=LONG,
    mask_rcnn_r18_ms=LONG,
    mask_rcnn_r50_ms=LONG,
    mask_rcnn_mv2_ms=LONG,
    **{'cascade-rcnn_r50': ONE},
)
# Pair -> weight of ReviewKD alone, with DKD, and with CKD.
REVIEWKD = dict(
    frcnn_r101_r18=(1.2, 1.2, 1.2),
    frcnn_r101_r50=(1.0, 1.0, 1.0),
    frcnn_r50_mv2=(2.0, 2.0, 2.0),
    mask_rcnn_r101_r18=(1.5, 1.2, 0.8),
    mask_rcnn_r101_r50=(0.8, 1.0, 1.0),
    mask_rcnn_r50_mv2=(1.0, 2.0, 1.0),
)
RECIPES = [
    f'{pair}_{end}'
    for pair in REVIEWKD
    for end in ('reviewkd', 'reviewdkd', 'reviewckd')
]
# Fragment -> config of its weights in MMDetection's zoo.
TEACHERS = dict(
    frcnn_r101='faster_rcnn/faster-rcnn_r101-caffe_fpn_ms-3x_coco',
    frcnn_r101_2x='faster_rcnn/faster-rcnn_r101_fpn_2x_coco',
    frcnn_r50='faster_rcnn/faster-rcnn_r50_fpn_ms-3x_coco',
    frcnn_r50_caffe='faster_rcnn/faster-rcnn_r50-caffe_fpn_ms-3x_coco',
    mask_rcnn_r101='mask_rcnn/mask-rcnn_r101-caffe_fpn_ms-poly-3x_coco',
    mask_rcnn_r50='mask_rcnn/mask-rcnn_r50-caffe_fpn_ms-poly-3x_coco',
    cascade_rcnn_r101='cascade_rcnn/cascade-rcnn_r101_fpn_20e_coco',
    cascade_mask_rcnn_x101=(
        'cascade_rcnn/cascade-mask-rcnn_x101-64x4d_fpn_20e_coco'
    ),
)

coco_config = pytest.mark.parametrize(
    'path', TWO_STAGE, ids=lambda path: path.stem
)
distilled_config = pytest.mark.parametrize(
    'path',
    [path for path in TWO_STAGE if methods_of(path.stem)],
    ids=lambda path: path.stem,
)
each_student = pytest.mark.parametrize('name', STUDENTS)
multi_scale = pytest.mark.parametrize(
    'name', [name for name in STUDENTS if name.endswith('_ms')]
)
each_teacher = pytest.mark.parametrize('name', TEACHERS)


def student(name):
    return load(CONFIGS / f'{name}.py')


@functools.cache
def built(name):
    """A student, as its training begins."""
    return build(student(name).model).train()


def test_the_promised_configs_are_there():
    alone = {path.stem for path in TWO_STAGE if not methods_of(path.stem)}
    assert alone == {*STUDENTS}
    found = {path.stem for path in TWO_STAGE}
    assert len(RECIPES) == 18 and {*RECIPES} <= found
    assert {
        'frcnn_r101_r18_crosskd',
        'frcnn_r101_r50_pkd',
        'frcnn_dinov2-b_r50_cosine',
        'frcnn_cascade-x101_r50_dist',
        'frcnn_cascade-x101_r50_dist_fitnet',
        'cascade-rcnn_r101_r50_ckd',
    } <= found


@coco_config
def test_settings_of_its_student(path):
    """Also what a config with a teacher says of its command."""
    alone = student_of(path) if methods_of(path.stem) else path
    schedule = STUDENTS[alone.stem]
    gpus = re.search(r'^# Run: .+ (\d)$', path.read_text(), re.M)[1]
    assert int(gpus) == schedule.gpus
    cfg = load(path)
    images = cfg.train_dataloader.batch_size
    assert images == schedule.images
    assert cfg.auto_scale_lr.base_batch_size == schedule.gpus * images
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'SGD'
    assert optimizer.lr == schedule.lr
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 1e-4)
    assert 'clip_grad' not in cfg.optim_wrapper
    assert cfg.train_cfg.max_epochs == schedule.epochs
    warmup, drops = cfg.param_scheduler
    assert (warmup.type, warmup.by_epoch) == ('LinearLR', False)
    assert (warmup.start_factor, warmup.begin) == (0.001, 0)
    assert warmup.end == schedule.warmup
    assert (drops.type, drops.by_epoch) == ('MultiStepLR', True)
    assert (drops.begin, drops.end, drops.gamma) == (0, schedule.epochs, 0.1)
    assert drops.milestones == list(schedule.drops)
    assert cfg.default_scope == 'mmdet'
    assert cfg.default_hooks.checkpoint.save_best == 'coco/bbox_mAP'
    heads = cfg.model.roi_head.bbox_head
    for head in heads if isinstance(heads, list) else [heads]:
        assert head.num_classes == 80


@coco_config
def test_sizes_of_the_images(path):
    cfg = load(path)
    alone = student_of(path) if methods_of(path.stem) else path
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    if alone.stem.endswith('_ms'):
        resize = steps['RandomChoiceResize']
        assert resize.scales == [(1333, short) for short in SHORT_SIDES]
        order = [*steps]
        assert order.index('RandomChoiceResize') < order.index('RandomFlip')
    else:
        resize = steps['Resize']
        assert resize.scale == (1333, 800)
    assert resize.keep_ratio
    assert steps['RandomFlip'].prob == 0.5
    masks = parts_of(path.stem)['family'] == 'mask_rcnn'
    assert steps['LoadAnnotations'].get('with_mask', False) == masks
    assert ('segm' in cfg.val_evaluator.metric) == masks
    (test,) = (
        step
        for step in cfg.val_dataloader.dataset.pipeline
        if step.type == 'Resize'
    )
    assert test.scale == (1333, 800)


@coco_config
def test_student_is_the_one_in_the_name(path):
    cfg = load(path)
    parts = parts_of(path.stem)
    backbone = cfg.model.backbone
    assert (
        cfg.model.type
        == {
            'frcnn': 'FasterRCNN',
            'mask_rcnn': 'MaskRCNN',
            'cascade-rcnn': 'CascadeRCNN',
        }[parts['family']]
    )
    assert (backbone.type, backbone.get('depth')) == dict(
        r18=('ResNet', 18), r50=('ResNet', 50), mv2=('MobileNetV2', None)
    )[parts['student']]
    assert (
        backbone.init_cfg
        == dict(
            r18=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
            r50=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
            mv2=dict(
                type='TorchvisionMobileNetV2Init',
                checkpoint='torchvision://mobilenet_v2',
            ),
        )[parts['student']]
    )
    # torchvision's weights are of RGB images, divided by a deviation.
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.mean == [123.675, 116.28, 103.53]
    assert preprocessor.std == [58.395, 57.12, 57.375]
    assert preprocessor.bgr_to_rgb


@distilled_config
def test_schedule_is_that_of_the_recipe(path):
    """The student alone that a config with a teacher is based on."""
    parts = parts_of(path.stem)
    alone = f'{parts["family"]}_{parts["student"]}'
    if '_review' in path.stem:
        alone += '_ms'
    elif path.stem.startswith('frcnn_cascade-x101') or 'pkd' in path.stem:
        alone += '_2x'
    assert student_of(path).stem == alone


@each_student
def test_student_builds(name):
    """Its features have the strides that its heads are set up for."""
    with torch.no_grad():
        features = built(name).extract_feat(torch.randn(1, 3, 64, 128))
    assert [tuple(f.shape) for f in features] == [
        (1, 256, 64 // stride, 128 // stride) for stride in STRIDES
    ]


@pytest.mark.parametrize('name', [name for name in STUDENTS if '_mv2' in name])
def test_mobilenet_is_that_of_the_papers(name):
    """The 320-channel layer, not the one of 1,280 channels after it."""
    model = built(name)
    assert model.neck.in_channels == [24, 32, 96, 320]
    with torch.no_grad():
        maps = model.backbone(torch.randn(1, 3, 64, 128))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (24, 16, 32),
        (32, 8, 16),
        (96, 4, 8),
        (320, 2, 4),
    ]
    *_, last = model.backbone.layer7.modules()
    assert isinstance(last, _BatchNorm), 'the outputs of the blocks are linear'


@multi_scale
def test_frozen_parts_of_a_student(name):
    """Of ResNets stem and first stage; of all students batch norms."""
    model = built(name)
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    assert len(norms) > 15
    for norm in norms:
        assert not norm.training
        assert not any(p.requires_grad for p in norm.parameters())
    backbone = model.backbone
    frozen = () if '_mv2' in name else ('conv1', 'layer1')
    for part, module in backbone.named_children():
        weights = [
            p
            for m in module.modules()
            if isinstance(m, nn.Conv2d)
            for p in m.parameters()
        ]
        assert all(p.requires_grad != (part in frozen) for p in weights)
    for part in (model.neck, model.rpn_head, model.roi_head):
        assert all(p.requires_grad for p in part.parameters())


@pytest.mark.slow
@each_student
def test_distributed_training_knows_of_weights_without_gradient(name):
    """What is computed but not read stops it otherwise."""
    mask = name.startswith('mask')
    model = build(student(name).model).train()
    data = model.data_preprocessor(batch(0, 1, mask=mask), training=True)
    losses, _ = model.parse_losses(model(**data, mode='loss'))
    losses.backward()
    unused = {
        name.rsplit('.', 2)[0]
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    }
    mobilenet = '_mv2' in name
    assert unused == ({'backbone.conv2'} if mobilenet else set())
    assert student(name).get('find_unused_parameters', False) == mobilenet


@multi_scale
def test_norm_layers_have_no_weight_decay(name):
    """Neither do those that a loss adds to the student."""
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    wrapper = build_optim_wrapper(model, student(name).optim_wrapper)
    decays = {
        id(p): group['weight_decay']
        for group in wrapper.param_groups
        for p in group['params']
    }
    conv, norm = model
    assert {decays[id(p)] for p in conv.parameters()} == {1e-4}
    assert {decays[id(p)] for p in norm.parameters()} == {0.0}
    rates = {group['lr'] for group in wrapper.param_groups}
    assert rates == {0.01}


def losses_of(stem):
    (hook,) = load(CONFIGS / f'{stem}.py').custom_hooks
    distiller = HOOKS.build(hook).distiller
    return {
        name: {
            key: value
            for key, value in vars(loss).items()
            if not key.startswith('_') and key != 'training'
        }
        for name, loss in distiller.losses.items()
    }


@pytest.mark.parametrize('pair', REVIEWKD)
def test_weights_of_the_recipe(pair):
    alone, with_dkd, with_ckd = (
        losses_of(f'{pair}_{end}')
        for end in ('reviewkd', 'reviewdkd', 'reviewckd')
    )
    found = [
        terms.pop('loss_reviewkd') for terms in (alone, with_dkd, with_ckd)
    ]
    assert tuple(f['loss_weight'] for f in found) == REVIEWKD[pair]
    for settings in found:
        assert settings['student_channels'] == [256] * 5
        assert settings['teacher_channels'] == [256] * 5
    assert not alone
    dkd, ckd = with_dkd['loss_dkd'], with_ckd['loss_ckd']
    assert (dkd['alpha'], dkd['beta'], dkd['tau']) == (1.0, 0.25, 1.0)
    assert dkd['loss_weight'] == 1.0
    assert (ckd['tau'], ckd['loss_weight']) == (1.0, 0.1)
    assert not ckd['gather']


def test_weights_of_the_other_recipes():
    """As their authors released them."""
    dist = losses_of('frcnn_cascade-x101_r50_dist')
    (settings,) = dist.values()
    for key in ('beta', 'gamma', 'tau', 'loss_weight'):
        assert settings[key] == 1.0
    mimic = losses_of('frcnn_cascade-x101_r50_dist_fitnet')
    fitnet = mimic.pop('loss_fitnet')
    assert mimic == dist
    assert fitnet['loss_weight'] == 1.0
    assert fitnet['student_channels'] == [256] * 5
    assert fitnet['teacher_channels'] == [256] * 5
    pkd = losses_of('frcnn_r101_r50_pkd')
    assert pkd['loss_pkd']['loss_weight'] == 6.0
    crossed = losses_of('frcnn_r101_r18_crosskd')
    assert crossed['loss_kd']['tau'] == 3.0
    assert crossed['loss_kd']['loss_weight'] == 0.5
    assert crossed['loss_box']['normalize'] == 'weights'
    assert crossed['loss_box']['loss_weight'] == 1.0


def test_crosskd_reads_the_crossed_head():
    (hook,) = load(CONFIGS / 'frcnn_r101_r18_crosskd.py').custom_hooks
    assert hook.losses.loss_kd.tap == dict(type='RoIHeadTap', crossed=True)
    assert hook.losses.loss_box.tap == dict(
        type='RoIBoxTap', rows='confidence', crossed=True
    )


def strongest(depth):
    """The zoo's Faster R-CNN FPN of this depth with the highest box AP."""
    entries = {
        config: box_ap(entry)
        for config, entry in zoo('faster_rcnn').items()
        if re.search(rf'faster-rcnn_r{depth}[-_].*fpn', config)
    }
    assert len(entries) > 3
    return max(entries, key=entries.get)


@pytest.mark.parametrize('depth', [101, 50])
def test_teacher_of_1x_is_the_strongest_of_its_name(depth):
    assert TEACHERS[f'frcnn_r{depth}'] == strongest(depth)


@distilled_config
def test_teacher_is_the_one_in_the_name(path):
    """And the one of the recipe, where that differs from the strongest."""
    parts = parts_of(path.stem)
    (hook,) = load(path).custom_hooks
    if parts['teacher'] == 'dinov2-b':
        return  # of MMPretrain's zoo, see test_foundation_configs.py
    name = f'{parts["family"]}_{parts["teacher"]}'.replace('-', '_')
    if parts['teacher'] == 'cascade-x101':
        name = 'cascade_mask_rcnn_x101'
    elif path.stem.endswith('_pkd'):
        name += '_2x'
    elif name == 'frcnn_r50' and '_review' in path.stem:
        name += '_caffe'
    family = TEACHERS[name].split('/')[0]
    assert hook.teacher.checkpoint == zoo(family)[TEACHERS[name]]['Weights']


@each_teacher
def test_teacher_config_is_that_of_its_weights(name):
    """The same model as in the zoo, with the input that it was trained on."""
    path = CONFIGS / f'_base_/teachers/{name}.py'
    teacher = load(path).teacher
    entry = zoo(TEACHERS[name].split('/')[0])[TEACHERS[name]]
    assert teacher.checkpoint == entry['Weights']
    text = ' '.join(path.read_text().replace('\n#', ' ').split())
    assert f'{box_ap(entry)} box AP' in text
    model = load_config(teacher.config).model
    zoo_model = load_config(f'mmdet::{TEACHERS[name]}.py').model

    preprocessor = model.pop('data_preprocessor')
    zoo_preprocessor = zoo_model.pop('data_preprocessor')
    assert model.to_dict() == zoo_model.to_dict()
    if model.backbone.style == 'caffe':
        assert preprocessor.mean == [103.53, 116.28, 123.675]
        assert preprocessor.std == [1.0, 1.0, 1.0]
        assert not preprocessor.bgr_to_rgb
    else:
        assert preprocessor == zoo_preprocessor


@each_teacher
def test_teacher_builds(name):
    teacher = load(CONFIGS / f'_base_/teachers/{name}.py').teacher
    model = load_config(teacher.config).model
    depth = re.search(r'_[rx](\d+)', name)[1]
    assert model.backbone.depth == int(depth)
    heads = model.roi_head.bbox_head
    first = heads[0] if isinstance(heads, list) else heads
    assert first.num_classes == 80
    build(model)
