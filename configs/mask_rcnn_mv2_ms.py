# Mask R-CNN FPN with a MobileNetV2 backbone on MS COCO at several scales, 2x
# schedule with 8 images per step, without a teacher: what ReviewKD is compared
# with.
# Run: bash tools/dist_train.sh configs/mask_rcnn_mv2_ms.py 2
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    './_base_/datasets/coco_instance_ms.py',
    './_base_/schedules/coco_reviewckd.py',
    './_base_/runtime_det.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
# The backbone of _base_/models/frcnn_mv2.py, with frozen batch normalization:
# statistics (`norm_eval`) and affine.
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 6),
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        init_cfg=dict(
            type='TorchvisionMobileNetV2Init',
            checkpoint='torchvision://mobilenet_v2',
        ),
    ),
    neck=dict(in_channels=[24, 32, 96, 320]),
)
find_unused_parameters = True
