"""Small real detectors and data for the tests."""

import copy
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.structures import InstanceData
from torch.utils.data import Dataset

CLASSES = ('cat', 'dog', 'owl')
# Of the box coders and assigners of a cascade, as in MMDetection's configs.
STDS = [
    [0.1, 0.1, 0.2, 0.2],
    [0.05, 0.05, 0.1, 0.1],
    [0.033, 0.033, 0.067, 0.067],
]
IOUS = [0.5, 0.6, 0.7]


def detector_cfg(width=8, mask=False, num_classes=3, stages=0, **kwargs):
    """Config of a Faster R-CNN, or Mask R-CNN, of ResNet-18 shape.

    Args:
        width (int): Channels of the first stage.
        mask (bool): Whether to add a mask branch.
        num_classes (int): K.
        stages (int): Number of box heads of a Cascade R-CNN, at most 3; 0: of
            no cascade.
        **kwargs: Arguments of the data preprocessor.
    """
    channels = 16
    extractor = dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
        out_channels=channels,
        featmap_strides=[4, 8, 16, 32],
    )
    preprocessor = dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=mask,
        pad_size_divisor=32,
    )
    preprocessor.update(kwargs)
    roi_head = dict(
        type='StandardRoIHead',
        bbox_roi_extractor=extractor,
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            in_channels=channels,
            fc_out_channels=32,
            roi_feat_size=7,
            num_classes=num_classes,
            reg_class_agnostic=True,
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder',
                target_means=[0.0, 0.0, 0.0, 0.0],
                target_stds=[0.1, 0.1, 0.2, 0.2],
            ),
            loss_cls=dict(type='CrossEntropyLoss', loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0),
        ),
    )
    rcnn_train = dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0.5,
            match_low_quality=mask,
            ignore_iof_thr=-1,
        ),
        sampler=dict(
            type='RandomSampler',
            num=32,
            pos_fraction=0.25,
            neg_pos_ub=-1,
            add_gt_as_proposals=True,
        ),
        pos_weight=-1,
        debug=False,
    )
    rcnn_test = dict(
        score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=20
    )
    if mask:
        roi_head.update(
            # The same object serves both branches.
            mask_roi_extractor=None,
            mask_head=dict(
                type='FCNMaskHead',
                num_convs=1,
                in_channels=channels,
                conv_out_channels=8,
                num_classes=num_classes,
                loss_mask=dict(
                    type='CrossEntropyLoss', use_mask=True, loss_weight=1.0
                ),
            ),
        )
        rcnn_train['mask_size'] = 14
        rcnn_test['mask_thr_binary'] = 0.5
    proposals = dict(
        nms_pre=200,
        max_per_img=100,
        nms=dict(type='nms', iou_threshold=0.7),
        min_bbox_size=0,
    )
    kind = 'MaskRCNN' if mask else 'FasterRCNN'
    if stages:
        kind = 'CascadeRCNN'
        rcnn_train = make_cascade(roi_head, rcnn_train, stages)
    return ConfigDict(
        type=kind,
        data_preprocessor=preprocessor,
        backbone=dict(
            type='ResNet',
            depth=18,
            base_channels=width,
            stem_channels=width,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            frozen_stages=-1,
            norm_eval=False,
            style='pytorch',
        ),
        neck=dict(
            type='FPN',
            in_channels=[width, 2 * width, 4 * width, 8 * width],
            out_channels=channels,
            num_outs=5,
        ),
        rpn_head=dict(
            type='RPNHead',
            in_channels=channels,
            feat_channels=channels,
            anchor_generator=dict(
                type='AnchorGenerator',
                scales=[4],
                ratios=[0.5, 1.0, 2.0],
                strides=[4, 8, 16, 32, 64],
            ),
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder',
                target_means=[0.0, 0.0, 0.0, 0.0],
                target_stds=[1.0, 1.0, 1.0, 1.0],
            ),
            loss_cls=dict(
                type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0
            ),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0),
        ),
        roi_head=roi_head,
        train_cfg=dict(
            rpn=dict(
                assigner=dict(
                    type='MaxIoUAssigner',
                    pos_iou_thr=0.7,
                    neg_iou_thr=0.3,
                    min_pos_iou=0.3,
                    match_low_quality=True,
                    ignore_iof_thr=-1,
                ),
                sampler=dict(
                    type='RandomSampler',
                    num=32,
                    pos_fraction=0.5,
                    neg_pos_ub=-1,
                    add_gt_as_proposals=False,
                ),
                allowed_border=-1,
                pos_weight=-1,
                debug=False,
            ),
            rpn_proposal=proposals,
            rcnn=rcnn_train,
        ),
        test_cfg=dict(rpn=proposals, rcnn=rcnn_test),
    )


def make_cascade(roi_head, rcnn, stages):
    """Give a RoI head several box heads; return `train_cfg.rcnn` of each."""
    heads, rcnns = [], []
    for stds, iou in zip(STDS[:stages], IOUS):
        head, train = copy.deepcopy((roi_head['bbox_head'], rcnn))
        head['bbox_coder']['target_stds'] = stds
        train['assigner'].update(
            pos_iou_thr=iou, neg_iou_thr=iou, min_pos_iou=iou
        )
        heads.append(head)
        rcnns.append(train)
    roi_head.update(
        type='CascadeRoIHead',
        num_stages=stages,
        stage_loss_weights=[1, 0.5, 0.25][:stages],
        bbox_head=heads,
    )
    return rcnns


def build_detector(seed=0, **kwargs):
    """Build a detector of `detector_cfg` with weights from a seed."""
    register_all_modules(init_default_scope=False)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(detector_cfg(**kwargs))
    model.init_weights()
    return model


def save_teacher(path, seed=7, **kwargs):
    """Save a detector's weights; return the hook's `teacher` argument."""
    model = build_detector(seed, **kwargs)
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return dict(
        config=dict(default_scope='mmdet', model=detector_cfg(**kwargs)),
        checkpoint=str(path),
    )


def save_configs():
    """Write student.py, teacher.py and teacher.pth to where we are."""
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Boxes', length=8),
        collate_fn=dict(type='pseudo_collate'),
    )
    student = dict(
        default_scope='mmdet',
        model=detector_cfg(),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.005)),
        custom_hooks=[dict(type='EmptyCacheHook')],
    )
    teacher = save_teacher('teacher.pth', width=16)['config']
    for name, cfg in dict(student=student, teacher=teacher).items():
        cfg['model'] = cfg['model'].to_dict()
        lines = [f'{key} = {value!r}\n' for key, value in cfg.items()]
        Path(f'{name}.py').write_text(''.join(lines))


@DATASETS.register_module()
class Boxes(Dataset):
    """Noise images of two sizes with three boxes each."""

    def __init__(self, length=8, mask=False):
        self.length = length
        self.mask = mask
        self.metainfo = dict(classes=CLASSES)

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index >= self.length:
            raise IndexError(index)
        rng = np.random.default_rng(index)
        height, width = (96, 128) if index % 2 else (80, 100)
        image = rng.integers(0, 256, (3, height, width), dtype=np.uint8)
        corner = rng.uniform(0, 40, (3, 2))
        boxes = np.concatenate(
            [corner, corner + rng.uniform(12, 38, (3, 2))], 1
        ).astype(np.float32)
        objects = InstanceData(
            bboxes=torch.from_numpy(boxes),
            labels=torch.from_numpy(rng.integers(0, 3, 3)),
        )
        if self.mask:
            masks = np.zeros((3, height, width), np.uint8)
            for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int)):
                mask[y1:y2, x1:x2] = 1
            objects.masks = BitmapMasks(masks, height, width)
        sample = DetDataSample(
            metainfo=dict(
                img_id=index,
                img_shape=(height, width),
                ori_shape=(height, width),
                scale_factor=(1.0, 1.0),
            )
        )
        sample.gt_instances = objects
        return dict(inputs=torch.from_numpy(image), data_samples=sample)


def batch(*indices, mask=False):
    """Samples of `Boxes` as a data loader hands them out."""
    samples = [Boxes(mask=mask)[index] for index in indices]
    return {key: [sample[key] for sample in samples] for key in samples[0]}
