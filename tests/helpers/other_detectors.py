"""Small real detectors of other kinds than Faster R-CNN."""

from mmengine.config import ConfigDict

from tests.helpers import tiny

ASSIGNER = dict(
    type='MaxIoUAssigner',
    pos_iou_thr=0.5,
    neg_iou_thr=0.4,
    min_pos_iou=0,
    ignore_iof_thr=-1,
)
BOX_LOSSES = dict(
    RetinaNet=dict(type='L1Loss', loss_weight=1.0),
    FCOS=dict(type='IoULoss', loss_weight=1.0),
)


def dense_cfg(kind, **kwargs):
    """Config of a RetinaNet or FCOS of ResNet-18 shape, levels p3 to p7.

    Args:
        kind (str): 'RetinaNet' or 'FCOS'.
        **kwargs: Arguments of the data preprocessor.
    """
    cfg = tiny.detector_cfg(**kwargs)
    head = dict(
        type='RetinaHead' if kind == 'RetinaNet' else 'FCOSHead',
        num_classes=3,
        in_channels=16,
        stacked_convs=1,
        feat_channels=16,
        loss_cls=dict(
            type='FocalLoss',
            use_sigmoid=True,
            gamma=2.0,
            alpha=0.25,
            loss_weight=1.0,
        ),
        loss_bbox=BOX_LOSSES[kind],
    )
    train_cfg = dict(allowed_border=-1, pos_weight=-1, debug=False)
    if kind == 'RetinaNet':
        head['anchor_generator'] = dict(
            type='AnchorGenerator',
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=[8, 16, 32, 64, 128],
        )
        head['bbox_coder'] = dict(type='DeltaXYWHBBoxCoder')
        train_cfg['assigner'] = ASSIGNER
    else:
        head.update(strides=[8, 16, 32, 64, 128], norm_cfg=None)
    neck = dict(cfg.neck, start_level=1, add_extra_convs='on_output')
    return ConfigDict(
        type=kind,
        data_preprocessor=cfg.data_preprocessor,
        backbone=cfg.backbone,
        neck=neck,
        bbox_head=head,
        train_cfg=train_cfg,
        test_cfg=dict(
            nms_pre=100,
            min_bbox_size=0,
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=20,
        ),
    )


def swin_cfg(**kwargs):
    """Config of a Mask R-CNN with a Swin transformer, levels p2 to p6.

    Args:
        **kwargs: Arguments of the data preprocessor.
    """
    cfg = tiny.detector_cfg(mask=True, **kwargs)
    cfg.backbone = dict(
        type='SwinTransformer',
        embed_dims=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_indices=(0, 1, 2, 3),
        convert_weights=False,
    )
    cfg.neck.in_channels = [8, 16, 32, 64]
    return cfg
