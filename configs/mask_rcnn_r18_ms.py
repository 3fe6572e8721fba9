# Mask R-CNN FPN with a ResNet-18 backbone on MS COCO at several scales, 2x
# schedule with 8 images per step, without a teacher: what ReviewKD is compared
# with.
# Run: bash tools/dist_train.sh configs/mask_rcnn_r18_ms.py 2
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    './_base_/datasets/coco_instance_ms.py',
    './_base_/schedules/coco_reviewckd.py',
    './_base_/runtime_det.py',
]

# Batch normalization is frozen: statistics (`norm_eval`) and affine.
model = dict(
    backbone=dict(
        depth=18,
        norm_cfg=dict(type='BN', requires_grad=False),
        init_cfg=dict(checkpoint='torchvision://resnet18'),
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
