"""RoIHeadTap with the RoI heads, box heads, samplers and losses of mmdet.

Each row of the table in docs/how_it_works.md is tested here, by its name:
what the tap gives is compared with what `bbox_head.loss` was called with, and
with the teacher's head on each of these RoIs.
"""

import copy
import re
from pathlib import Path

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmkd_plugin.taps import RoIHeadTap
from tests.helpers import tiny
from tests.helpers.teachers import Shown

DOCS = Path(__file__).parents[3] / 'docs' / 'how_it_works.md'
CHANNELS = 16
L1 = dict(type='L1Loss', loss_weight=1.0)
SMOOTH = dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0)
FCS = dict(in_channels=CHANNELS, roi_feat_size=7, num_classes=3)
RANDOM = dict(
    type='RandomSampler',
    num=32,
    pos_fraction=0.25,
    neg_pos_ub=-1,
    add_gt_as_proposals=True,
)
# Name in the docs -> changes of `roi_head`, and of `train_cfg.rcnn`.
HEADS = {
    'StandardRoIHead': (dict(), dict()),
    'BBoxHead': (
        dict(
            bbox_head=dict(
                _delete_=True,
                type='BBoxHead',
                with_avg_pool=True,
                loss_bbox=SMOOTH,
                **FCS,
            )
        ),
        dict(),
    ),
    'Shared4Conv1FCBBoxHead': (
        dict(
            bbox_head=dict(
                type='Shared4Conv1FCBBoxHead',
                conv_out_channels=8,
                reg_class_agnostic=False,
                reg_decoded_bbox=True,
                loss_bbox=dict(type='GIoULoss', loss_weight=1.0),
            )
        ),
        dict(),
    ),
    '`class_weight`, `ignore_index`': (
        dict(
            bbox_head=dict(
                loss_cls=dict(
                    class_weight=[1.0, 2.0, 3.0, 0.5],
                    ignore_index=255,
                    avg_non_ignore=True,
                )
            )
        ),
        dict(),
    ),
    'NormedLinear': (
        dict(
            bbox_head=dict(
                cls_predictor_cfg=dict(type='NormedLinear')
            )
        ),
        dict(),
    ),
    'DoubleHeadRoIHead': (
        dict(
            type='DoubleHeadRoIHead',
            reg_roi_scale_factor=1.3,
            bbox_head=dict(
                _delete_=True,
                type='DoubleConvFCBBoxHead',
                num_convs=1,
                num_fcs=1,
                conv_out_channels=64,
                fc_out_channels=32,
                loss_bbox=SMOOTH,
                **FCS,
            ),
        ),
        dict(),
    ),
    'PISARoIHead': (
        dict(
            type='PISARoIHead',
            bbox_head=dict(loss_bbox=SMOOTH, reg_class_agnostic=False),
        ),
        dict(
            sampler=dict(
                RANDOM, type='ScoreHLRSampler', k=0.5, bias=0.0
            ),
            isr=dict(k=2, bias=0),
            carl=dict(k=1, bias=0.2),
        ),
    ),
    'DynamicRoIHead': (
        dict(type='DynamicRoIHead', bbox_head=dict(loss_bbox=SMOOTH)),
        dict(
            dynamic_rcnn=dict(
                iou_topk=2,
                beta_topk=2,
                update_iter_interval=1,
                initial_iou=0.4,
                initial_beta=1.0,
            )
        ),
    ),
    'GridRoIHead': (
        dict(
            type='GridRoIHead',
            bbox_head=dict(
                _delete_=True,
                type='Shared2FCBBoxHead',
                fc_out_channels=32,
                with_reg=False,
                **FCS,
            ),
            grid_roi_extractor=dict(
                type='SingleRoIExtractor',
                roi_layer=dict(
                    type='RoIAlign', output_size=14, sampling_ratio=0
                ),
                out_channels=CHANNELS,
                featmap_strides=[4, 8, 16, 32],
            ),
            grid_head=dict(
                type='GridHead',
                grid_points=9,
                num_convs=1,
                in_channels=CHANNELS,
                point_feat_channels=4,
                norm_cfg=dict(type='GN', num_groups=6),
                loss_grid=dict(
                    type='CrossEntropyLoss', use_sigmoid=True, loss_weight=15
                ),
            ),
        ),
        dict(pos_radius=1, max_num_grid=32),
    ),
    'SABLHead': (
        dict(
            bbox_head=dict(
                _delete_=True,
                type='SABLHead',
                num_classes=3,
                cls_in_channels=CHANNELS,
                reg_in_channels=CHANNELS,
                roi_feat_size=7,
                reg_feat_up_ratio=2,
                reg_pre_kernel=3,
                reg_post_kernel=3,
                reg_pre_num=1,
                reg_post_num=1,
                cls_out_channels=32,
                reg_offset_out_channels=CHANNELS,
                reg_cls_out_channels=CHANNELS,
                num_cls_fcs=1,
                num_reg_fcs=0,
                reg_class_agnostic=True,
                norm_cfg=None,
                bbox_coder=dict(
                    type='BucketingBBoxCoder',
                    num_buckets=14,
                    scale_factor=1.7,
                ),
                loss_cls=dict(type='CrossEntropyLoss', loss_weight=1.0),
                loss_bbox_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
                loss_bbox_reg=dict(type='SmoothL1Loss', beta=0.1),
            )
        ),
        dict(),
    ),
    'OHEMSampler': (
        dict(),
        # So few that it has to choose among the positives too.
        dict(sampler=dict(RANDOM, type='OHEMSampler', num=8)),
    ),
    'CombinedSampler, BalancedL1Loss': (
        dict(
            bbox_head=dict(
                loss_bbox=dict(
                    type='BalancedL1Loss', alpha=0.5, gamma=1.5, beta=1.0
                )
            )
        ),
        dict(
            sampler=dict(
                _delete_=True,
                type='CombinedSampler',
                num=32,
                pos_fraction=0.25,
                add_gt_as_proposals=True,
                pos_sampler=dict(type='InstanceBalancedPosSampler'),
                neg_sampler=dict(
                    type='IoUBalancedNegSampler',
                    floor_thr=-1,
                    floor_fraction=0,
                    num_bins=3,
                ),
            )
        ),
    ),
    '`shared_head`': (
        dict(
            shared_head=dict(
                type='ResLayer', depth=18, stage=1, stride=1, dilation=1
            ),
            bbox_roi_extractor=dict(
                out_channels=64,
                featmap_strides=[16],
            ),
            bbox_head=dict(in_channels=128),
        ),
        dict(),
    ),
    'GenericRoIExtractor': (
        dict(bbox_roi_extractor=dict(type='GenericRoIExtractor')),
        dict(),
    ),
}  # fmt: skip
MASKS = {
    'MaskScoringRoIHead': dict(
        type='MaskScoringRoIHead',
        mask_iou_head=dict(
            type='MaskIoUHead',
            num_convs=1,
            num_fcs=1,
            roi_feat_size=14,
            in_channels=CHANNELS,
            conv_out_channels=8,
            fc_out_channels=8,
            num_classes=3,
            loss_iou=dict(type='MSELoss', loss_weight=0.5),
        ),
    ),
    'PointRendRoIHead': dict(
        type='PointRendRoIHead',
        mask_head=dict(
            _delete_=True,
            type='CoarseMaskHead',
            num_fcs=1,
            in_channels=CHANNELS,
            conv_out_channels=CHANNELS,
            fc_out_channels=8,
            num_classes=3,
            downsample_factor=1,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
        ),
        point_head=dict(
            type='MaskPointHead',
            num_fcs=1,
            in_channels=CHANNELS,
            fc_channels=8,
            num_classes=3,
            coarse_pred_each_layer=True,
            loss_point=dict(type='CrossEntropyLoss', use_mask=True),
        ),
    ),
}
EXTRACTOR = dict(
    type='SingleRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
    out_channels=CHANNELS,
    featmap_strides=[4, 8, 16, 32],
)


def merge(base, changes):
    """Like a config that inherits, with its `_delete_`."""
    merged = {} if changes.get('_delete_') else dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            value = merge(base[key], value)
        if key != '_delete_':
            merged[key] = value
    return merged


def build(roi_head, rcnn, seed=0, mask=False, **model):
    register_all_modules(init_default_scope=False)
    cfg = tiny.detector_cfg(mask=mask).to_dict()
    if 'shared_head' in roi_head:
        cfg['neck']['out_channels'] = 64
        cfg['rpn_head']['in_channels'] = 64
    cfg['roi_head'] = merge(cfg['roi_head'], roi_head)
    cfg['train_cfg']['rcnn'] = merge(cfg['train_cfg']['rcnn'], rcnn)
    cfg = merge(cfg, model)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(ConfigDict(cfg))
    model.init_weights()
    return model


def listen(student):
    """Keep the arguments of each call of the box head's `loss`."""
    head, calls = student.roi_head.bbox_head, []
    original = head.loss

    def loss(cls_score, bbox_pred, rois, labels, label_weights, *args, **kw):
        calls.append((cls_score, rois, labels, label_weights))
        return original(
            cls_score, bbox_pred, rois, labels, label_weights, *args, **kw
        )

    head.loss = loss
    return calls


def check_rows(student, teacher, mask=False):
    tap = RoIHeadTap()
    tap.refuse('student', student)
    tap.refuse('teacher', teacher)
    calls = listen(student)
    tap.attach(student.train(), student)
    data = student.data_preprocessor(tiny.batch(0, 1, mask=mask), True)
    losses = student(**data, mode='loss')
    reading = tap.take(Shown(teacher.eval(), data['inputs']))
    logits, rois, labels, weights = calls[-1]
    assert len(logits) > 8
    assert reading.student is logits
    assert 'loss_cls' in losses
    assert torch.equal(reading.labels, labels)
    assert torch.equal(reading.weights, weights)
    # The teacher's head by direct calls, RoI by RoI.
    rows = reading.teacher
    head = teacher.roi_head
    extractor, box_head = head.bbox_roi_extractor, head.bbox_head
    if isinstance(box_head, nn.ModuleList):  # a cascade
        extractor, box_head = extractor[0], box_head[0]
    with torch.no_grad():
        maps = teacher.extract_feat(data['inputs'])
        for row, roi in zip(rows, rois):
            inputs = maps[: extractor.num_inputs]
            crops = [extractor(inputs, roi[None])]
            if head.with_shared_head:
                crops = [head.shared_head(crops[0])]
            if hasattr(head, 'reg_roi_scale_factor'):
                crops *= 2
            wanted = box_head(*crops)[0][0]
            torch.testing.assert_close(row, wanted, rtol=1e-4, atol=1e-5)
    reading.student.sum().backward()
    assert student.backbone.conv1.weight.grad.abs().sum() > 0
    return calls


@pytest.mark.parametrize('name', HEADS)
def test_head_is_read_rightly(name):
    roi_head, rcnn = HEADS[name]
    calls = check_rows(build(roi_head, rcnn), build(roi_head, rcnn, seed=1))
    if 'Sampler' in name and 'OHEM' in name:
        assert len(calls) > 1  # as its sampler computes the loss as well


@pytest.mark.parametrize('name', MASKS)
def test_head_with_masks_is_read_rightly(name):
    changes = MASKS[name]
    rcnn = dict(mask_thr_binary=0.5)
    if name == 'PointRendRoIHead':
        extractor = dict(EXTRACTOR, featmap_strides=[4])
        changes = dict(changes, mask_roi_extractor=extractor)
        rcnn = dict(
            mask_size=14,
            num_points=16,
            oversample_ratio=3,
            importance_sample_ratio=0.75,
        )
    else:
        changes = dict(changes, mask_roi_extractor=EXTRACTOR)
        rcnn.update(mask_size=28)
    student = build(changes, rcnn, mask=True)
    check_rows(student, build(changes, rcnn, seed=1, mask=True), mask=True)


def test_pisa_weighs_the_rows():
    """Its `loss_cls` is called on the positives alone before."""
    roi_head, rcnn = HEADS['PISARoIHead']
    student = build(roi_head, rcnn)
    rows = []
    student.roi_head.bbox_head.loss_cls.register_forward_pre_hook(
        lambda module, args: rows.append(len(args[0]))
    )
    calls = check_rows(student, tiny.build_detector(1))
    assert rows[-2] < rows[-1] == len(calls[-1][0])
    assert len(set(calls[-1][3].tolist())) > 2


def trident(test_branch_idx=1):
    numbers = dict(num_branch=3, test_branch_idx=test_branch_idx)
    model = build(
        dict(
            type='TridentRoIHead',
            bbox_roi_extractor=dict(out_channels=64, featmap_strides=[16]),
            bbox_head=dict(in_channels=64),
            **numbers,
        ),
        dict(),
        type='TridentFasterRCNN',
        backbone=dict(
            _delete_=True,
            type='TridentResNet',
            depth=50,
            base_channels=4,
            stem_channels=4,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            trident_dilations=(1, 2, 3),
            out_indices=(2,),
            **numbers,
        ),
        neck=None,
        rpn_head=dict(
            in_channels=64,
            anchor_generator=dict(strides=[16]),
        ),
    )
    for part in model.modules():
        if type(part).__name__ == 'TridentConv':
            nn.init.normal_(part.weight, std=0.01)  # else what was in memory
    return model


def test_trident():
    tap = RoIHeadTap()
    model = trident()
    with pytest.raises(TypeError, match='TridentRoIHead .* image 3 times'):
        tap.refuse('student', model)
    check_rows(tiny.build_detector(), model)
    with pytest.raises(TypeError, match='TridentRoIHead .* image 3 times'):
        tap.refuse('teacher', trident(-1))


def test_first_head_of_a_cascade():
    check_rows(tiny.build_detector(), tiny.build_detector(1, stages=3))


def several(model):
    head = model.roi_head.bbox_head
    head.fc_cls = nn.ModuleList([head.fc_cls, head.fc_cls])


def other_loss(**cfg):
    def change(model):
        with DefaultScope.overwrite_default_scope('mmdet'):
            model.roi_head.bbox_head.loss_cls = MODELS.build(cfg)

    return change


def no_classes(model):
    model.roi_head.bbox_head.with_cls = False


@pytest.mark.parametrize('role', ['student', 'teacher'])
@pytest.mark.parametrize(
    'change, reason',
    [
        (several, 'predicts several objects per RoI'),
        (no_classes, 'classifies nothing'),
        (other_loss(type='FocalLoss', use_sigmoid=True), 'FocalLoss with sig'),
        (
            other_loss(type='SeesawLoss', num_classes=3),
            'SeesawLoss with sigmoid or custom activation',
        ),
        (other_loss(type='EQLV2Loss', num_classes=3), 'EQLV2Loss with sigmo'),
        (other_loss(type='GHMC'), 'GHMC with sigmoid'),
        (
            other_loss(type='CrossEntropyCustomLoss', num_classes=3),
            'CrossEntropyCustomLoss with sigmoid or custom activation',
        ),
    ],
)
def test_others_are_refused_at_the_start(change, reason, role):
    model = tiny.build_detector()
    change(model)
    with pytest.raises(TypeError, match=reason) as caught:
        RoIHeadTap().refuse(role, model)
    assert f'{role} FasterRCNN' in str(caught.value)


def test_replaced_modules_are_followed():
    """A hook of the user's may give the head another loss, or be given one."""
    student = tiny.build_detector().train()
    tap = RoIHeadTap()
    tap.attach(student, student)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    roi_head = student.roi_head

    def forward():
        calls = listen(student)
        student(**data, mode='loss')
        reading = tap.take(None)
        assert reading.student is calls[-1][0]

    forward()
    roi_head.bbox_head.loss_cls = copy.deepcopy(roi_head.bbox_head.loss_cls)
    forward()
    other = tiny.build_detector(1).train().roi_head
    roi_head.bbox_head = other.bbox_head
    forward()
    roi_head.bbox_roi_extractor = other.bbox_roi_extractor
    forward()
    other_loss(type='FocalLoss', use_sigmoid=True)(student)
    with pytest.raises(TypeError, match='FocalLoss with sigmoid'):
        student(**data, mode='loss')
    tap.detach()
    assert not any(
        m._forward_pre_hooks or m._forward_hooks for m in student.modules()
    )


def test_copy_of_the_model_is_not_followed():
    student = tiny.build_detector().train()
    tap = RoIHeadTap()
    tap.attach(student, student)
    twin = copy.deepcopy(student)
    twin.roi_head.bbox_head.loss_cls = nn.Identity()  # would be refused
    twin.roi_head.bbox_head.loss = lambda *args, **kwargs: {}
    twin(**twin.data_preprocessor(tiny.batch(0), True), mode='loss')
    student(**student.data_preprocessor(tiny.batch(0), True), mode='loss')
    assert tap.take(None) is not None


def test_loss_that_is_never_called_is_no_silence():
    student = tiny.build_detector().train()
    tap = RoIHeadTap()
    tap.attach(student, student)
    head = student.roi_head.bbox_head
    head.loss = lambda logits, *args, **kwargs: dict(loss_cls=logits.sum())
    data = student.data_preprocessor(tiny.batch(0), True)
    student(**data, mode='loss')
    with pytest.raises(RuntimeError, match='did not reach its `loss_cls`'):
        tap.take(None)


def test_rows_of_label_ignore_index_do_not_count():
    student = tiny.build_detector().train()
    head = student.roi_head.bbox_head
    head.loss_cls.ignore_index = 3
    tap = RoIHeadTap()
    tap.attach(student, student)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    student(**data, mode='loss')
    reading = tap.take(None)
    background = reading.labels == 3
    assert 0 < background.sum() < len(background)
    assert torch.equal(reading.weights > 0, ~background)


def test_every_head_stands_in_the_docs():
    table = DOCS.read_text()
    for name in (
        *HEADS,
        *MASKS,
        'TridentRoIHead',
        'MultiInstanceBBoxHead',
        'CascadeRoIHead',
    ):
        for part in re.split(', ', name.replace('`', '')):
            assert f'`{part}`' in table, part
