# Faster R-CNN FPN with a MobileNetV2 backbone on MS COCO, 1x schedule, without
# a teacher: what the distilled MobileNetV2 students are compared with.
#
# To prepare: COCO 2017 in data/coco/ (annotations/, train2017/, val2017/), or
#   elsewhere with --cfg-options data_root=/path/to/coco/
#   The backbone's ImageNet weights are downloaded. Without internet, give a
#   file: --cfg-options
#     model.backbone.init_cfg.checkpoint=/path/to/mobilenet_v2.pth
# On 8 GPUs x 2 images:
#   bash tools/dist_train.sh configs/frcnn_mv2.py 8
# On one GPU (--auto-scale-lr fits the learning rate to the batch size):
#   python tools/train.py configs/frcnn_mv2.py --auto-scale-lr
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
