# Faster R-CNN FPN with a MobileNetV2 backbone on MS COCO, 1x schedule, without
# a teacher: what the distilled MobileNetV2 students are compared with.
# Run: bash tools/dist_train.sh configs/frcnn_mv2.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/runtime_det.py',
]

# The outputs at strides 4, 8, 16 and 32. The last is the 1280-channel one:
# with the 320-channel one before it, mmdet's backbone would still compute the
# last convolution and leave it without a gradient, which stops distributed
# training. Nothing is frozen: mmdet freezes a MobileNetV2 only at its first
# call of train(), after distributed training has counted its parameters.
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 7),
        norm_eval=True,
        init_cfg=dict(
            type='TorchvisionMobileNetV2Init',
            checkpoint='torchvision://mobilenet_v2',
        ),
    ),
    neck=dict(in_channels=[24, 32, 96, 1280]),
)
