# A small Faster R-CNN for images of 128 to 200 pixels, which learns from
# scratch on a CPU: ResNet-18 with 8 channels at the start instead of 64, an
# FPN of 32, two fully connected layers of 64, and 64 RoIs per image. Its batch
# normalisation is trained too.

_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

norm = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(
        depth=18,
        base_channels=8,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=32, norm_cfg=norm),
    rpn_head=dict(
        in_channels=32,
        feat_channels=32,
        anchor_generator=dict(scales=[4]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=1), out_channels=32, finest_scale=20
        ),
        bbox_head=dict(in_channels=32, fc_out_channels=64),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=256, max_per_img=128),
        rcnn=dict(sampler=dict(num=64, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=256, max_per_img=64)),
)
