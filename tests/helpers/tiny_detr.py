"""Small real detectors of the DETR family for the tests."""

import torch
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope

from tests.helpers import tiny

# The positional encodings of two stages are of this size in MMDetection.
TWO_STAGE_DIMS = 256


def detr_cfg(kind='DeformableDETR', two_stage=None, width=8, **kwargs):
    """Config of a Deformable DETR or DINO of two layers and ten queries.

    Args:
        kind (str): Type of the detector.
        two_stage (bool, optional): Whether the encoder proposes the queries,
            and the layers refine the boxes; by default as its kind has it.
        width (int): Channels of the first stage of the backbone.
        **kwargs: Changes of `dims`, `layers`, `queries`, `levels`,
            `num_classes`, `loss_cls` and of the data preprocessor.
    """
    dino = kind == 'DINO'
    two_stage = dino if two_stage is None else two_stage
    dims = kwargs.pop('dims', TWO_STAGE_DIMS if two_stage else 32)
    layers = kwargs.pop('layers', 2)
    levels = kwargs.pop('levels', 3)
    queries = kwargs.pop('queries', 10)
    num_classes = kwargs.pop('num_classes', 3)
    focal = dict(type='FocalLoss', use_sigmoid=True, loss_weight=2.0)
    loss_cls = kwargs.pop('loss_cls', focal)
    attention = dict(embed_dims=dims, num_levels=levels, batch_first=True)
    ffn = dict(embed_dims=dims, feedforward_channels=32, ffn_drop=0.1)
    detr = tiny.detector_cfg(width=width, **kwargs)
    cfg = dict(
        type=kind,
        num_queries=queries,
        num_feature_levels=levels,
        with_box_refine=two_stage,
        as_two_stage=two_stage,
        data_preprocessor=detr.data_preprocessor,
        backbone=dict(detr.backbone, out_indices=(1, 2, 3)),
        neck=dict(
            type='ChannelMapper',
            in_channels=[2 * width, 4 * width, 8 * width],
            kernel_size=1,
            out_channels=dims,
            act_cfg=None,
            norm_cfg=dict(type='GN', num_groups=8),
            num_outs=levels,
        ),
        encoder=dict(
            num_layers=1, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)
        ),
        decoder=dict(
            num_layers=layers,
            return_intermediate=True,
            layer_cfg=dict(
                self_attn_cfg=dict(
                    embed_dims=dims,
                    num_heads=4,
                    dropout=0.1,
                    batch_first=True,
                ),
                cross_attn_cfg=attention,
                ffn_cfg=ffn,
            ),
            post_norm_cfg=None,
        ),
        positional_encoding=dict(
            num_feats=dims // 2, normalize=True, offset=-0.5
        ),
        bbox_head=dict(
            type='DINOHead' if dino else 'DeformableDETRHead',
            num_classes=num_classes,
            embed_dims=dims,
            sync_cls_avg_factor=True,
            loss_cls=loss_cls,
            loss_bbox=dict(type='L1Loss', loss_weight=5.0),
            loss_iou=dict(type='GIoULoss', loss_weight=2.0),
        ),
        train_cfg=dict(
            assigner=dict(
                type='HungarianAssigner',
                match_costs=[
                    dict(type='FocalLossCost', weight=2.0),
                    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                    dict(type='IoUCost', iou_mode='giou', weight=2.0),
                ],
            )
        ),
        test_cfg=dict(max_per_img=10),
    )
    if dino:
        cfg['dn_cfg'] = dict(
            label_noise_scale=0.5,
            box_noise_scale=1.0,
            group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=6),
        )
    return ConfigDict(cfg)


def build_detr(seed=0, *args, **kwargs):
    """Build a detector of `detr_cfg` whose queries say different things."""
    register_all_modules(init_default_scope=False)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(detr_cfg(*args, **kwargs))
    model.init_weights()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for branch in model.bbox_head.cls_branches:
            branch.weight.normal_(0, 0.5, generator=generator)
        for branch in model.bbox_head.reg_branches:
            branch[-1].weight.normal_(0, 0.3, generator=generator)
    return model


def save_teacher(path, seed=7, *args, **kwargs):
    """Save a detector's weights; return the hook's `teacher` argument."""
    model = build_detr(seed, *args, **kwargs)
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return dict(
        config=dict(default_scope='mmdet', model=detr_cfg(*args, **kwargs)),
        checkpoint=str(path),
    )
