"""Small real one-stage detectors for the tests."""

import torch
from mmdet.utils import register_all_modules
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from tests.helpers import tiny
from tests.helpers.teachers import Shown

CONVS = 3
LEVELS = [8, 16, 32, 64, 128]
NORM = dict(type='GN', num_groups=4, requires_grad=True)
FOCAL = dict(type='FocalLoss', use_sigmoid=True, loss_weight=1.0)
QUALITY = dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0)
DELTAS = dict(
    type='DeltaXYWHBBoxCoder',
    target_means=[0.0, 0.0, 0.0, 0.0],
    target_stds=[0.1, 0.1, 0.2, 0.2],
)
ONE_ANCHOR = dict(
    type='AnchorGenerator',
    ratios=[1.0],
    octave_base_scale=4,
    scales_per_octave=1,
    strides=LEVELS,
)
OF_ANCHORS = dict(
    type='AnchorGenerator',
    ratios=[0.5, 2.0],
    octave_base_scale=3,
    scales_per_octave=1,
    strides=LEVELS,
)
RANGES = ((-1, 16), (16, 32), (32, 64), (64, 128), (128, 1e8))
POINTS = dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32])
ATSS = dict(type='ATSSAssigner', topk=9)
IOU = dict(
    type='MaxIoUAssigner',
    pos_iou_thr=0.5,
    neg_iou_thr=0.4,
    min_pos_iou=0,
    ignore_iof_thr=-1,
)
SOFT = dict(type='DynamicSoftLabelAssigner', topk=13)
GIOU = dict(type='GIoULoss', loss_weight=2.0)

# Detector, head and assigner of each kind of head.
KINDS = dict(
    retina=(
        'RetinaNet',
        dict(
            type='RetinaHead',
            anchor_generator=OF_ANCHORS,
            bbox_coder=DELTAS,
            loss_cls=FOCAL,
            loss_bbox=dict(type='L1Loss', loss_weight=1.0),
        ),
        IOU,
    ),
    fcos=(
        'FCOS',
        dict(
            type='FCOSHead',
            strides=LEVELS,
            regress_ranges=RANGES,
            norm_cfg=NORM,
            loss_cls=FOCAL,
        ),
        None,
    ),
    atss=(
        'ATSS',
        dict(
            type='ATSSHead',
            anchor_generator=ONE_ANCHOR,
            bbox_coder=DELTAS,
            norm_cfg=NORM,
            loss_cls=FOCAL,
            loss_bbox=GIOU,
        ),
        ATSS,
    ),
    gfl=(
        'GFL',
        dict(
            type='GFLHead',
            anchor_generator=ONE_ANCHOR,
            norm_cfg=NORM,
            reg_max=8,
            loss_cls=QUALITY,
            loss_bbox=GIOU,
        ),
        ATSS,
    ),
    rtmdet=(
        'RTMDet',
        dict(
            type='RTMDetHead',
            with_objectness=True,
            anchor_generator=POINTS,
            bbox_coder=dict(type='DistancePointBBoxCoder'),
            norm_cfg=NORM,
            loss_cls=QUALITY,
            loss_bbox=GIOU,
        ),
        SOFT,
    ),
)
# The same with other settings that decide how boxes are decoded.
KINDS.update(
    {
        'retina-gn': (
            'RetinaNet',
            dict(KINDS['retina'][1], norm_cfg=NORM),
            IOU,
        ),
        'fcos-norm': (
            'FCOS',
            dict(
                KINDS['fcos'][1],
                norm_on_bbox=True,
                centerness_on_reg=True,
                center_sampling=True,
            ),
            None,
        ),
        'rtmdet-sep': (
            'RTMDet',
            dict(
                KINDS['rtmdet'][1],
                type='RTMDetSepBNHead',
                with_objectness=False,
                norm_cfg=dict(type='BN'),
                exp_on_reg=True,
            ),
            SOFT,
        ),
    }
)
CROSSED = ('retina', 'retina-gn', 'fcos', 'fcos-norm', 'atss', 'gfl')


def dense_cfg(kind, width=8, num_classes=3, **changes):
    """Config of a one-stage detector of ResNet-18 shape.

    Args:
        kind (str): One of `KINDS`.
        width (int): Channels of the first stage of the backbone.
        num_classes (int): C.
        **changes: Of the head.
    """
    detector, head, assigner = KINDS[kind]
    cfg = tiny.detector_cfg(width=width)
    channels = cfg.neck.out_channels
    cfg.update(
        type=detector,
        neck=dict(
            type='FPN',
            in_channels=[width, 2 * width, 4 * width, 8 * width],
            out_channels=channels,
            start_level=1,
            add_extra_convs='on_output',
            num_outs=3 if detector == 'RTMDet' else 5,
        ),
        bbox_head=dict(
            dict(
                head,
                num_classes=num_classes,
                in_channels=channels,
                feat_channels=channels,
                stacked_convs=CONVS,
            ),
            **changes,
        ),
        train_cfg=None
        if assigner is None
        else dict(
            assigner=assigner,
            sampler=dict(type='PseudoSampler'),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        test_cfg=dict(
            nms_pre=1000,
            min_bbox_size=0,
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.6),
            max_per_img=100,
        ),
    )
    for name in ('rpn_head', 'roi_head'):
        del cfg[name]
    return cfg


def build_dense(kind, seed=0, **kwargs):
    """Build a detector of `dense_cfg` that says something of each place.

    Args:
        kind (str): One of `KINDS`.
        seed (int): Of the weights.
        **kwargs: Of `dense_cfg`.
    """
    register_all_modules(init_default_scope=False)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(dense_cfg(kind, **kwargs))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.bbox_head.named_parameters():
            if weight.ndim == 4:
                last = 'convs' not in name
                std = 0.1 if last else (2 / weight[0].numel()) ** 0.5
                weight.normal_(0, std, generator=generator)
            elif 'scales' in name:
                weight.uniform_(0.6, 1.4, generator=generator)
    return model


def save_dense(path, kind, seed=7, classes=tiny.CLASSES, **kwargs):
    """Save a detector's weights; return the arguments of a `Teacher`."""
    model = build_dense(kind, seed, num_classes=len(classes), **kwargs)
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    cfg = dense_cfg(kind, num_classes=len(classes), **kwargs)
    return dict(
        config=dict(default_scope='mmdet', model=cfg), checkpoint=str(path)
    )


def data_of(model, *indices, boxes=True):
    """A batch of `tiny.Boxes` as the model's `forward` takes it."""
    data = tiny.batch(*indices)
    if not boxes:
        for sample in data['data_samples']:
            sample.gt_instances = sample.gt_instances[:0]
    return model.data_preprocessor(data, True)


def listen(module, calls):
    """Keep the arguments of each call of a module in a list."""
    return module.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append((args, kwargs)),
        with_kwargs=True,
    )


def step(tap, student, teacher, *indices, boxes=True):
    """A forward of a student to which a tap is attached.

    Returns:
        The teacher, which has seen the images; the calls of `loss_cls` and
        `loss_bbox`; the maps of the neck; the outputs of the head.
    """
    tap.refuse('student', student)
    tap.refuse('teacher', teacher)
    tap.attach(student, teacher)
    seen = dict(cls=[], bbox=[])
    head = student.bbox_head
    handles = [
        listen(head.loss_cls, seen['cls']),
        listen(head.loss_bbox, seen['bbox']),
        head.register_forward_hook(
            lambda module, args, output: seen.update(
                maps=args[0], output=output
            )
        ),
    ]
    data = data_of(student, *(indices or (0, 1)), boxes=boxes)
    student(**data, mode='loss')
    for handle in handles:
        handle.remove()
    return Shown(teacher, data['inputs']), seen


def without_batch_statistics(model):
    """Batch normalisation as in eval mode, so that forwards are equal."""
    model.apply(lambda m: m.eval() if isinstance(m, nn.BatchNorm2d) else None)
    return model


def rows_of(level, columns):
    """Rows of a map, place by place and anchor by anchor."""
    images, channels, height, width = level.shape
    return torch.stack(
        [
            level[image, anchor * columns : (anchor + 1) * columns, y, x]
            for image in range(images)
            for y in range(height)
            for x in range(width)
            for anchor in range(channels // columns)
        ]
    )
