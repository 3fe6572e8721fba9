# Faster R-CNN FPN with a ResNet-18 backbone on MS COCO, 1x schedule, without
# a teacher: what the distilled ResNet-18 students are compared with.
#
# To prepare: COCO 2017 in data/coco/ (annotations/, train2017/, val2017/), or
#   elsewhere with --cfg-options data_root=/path/to/coco/
#   The backbone's ImageNet weights are downloaded. Without internet, give a
#   file: --cfg-options
#     model.backbone.init_cfg.checkpoint=/path/to/resnet18.pth
# On 8 GPUs x 2 images:
#   bash tools/dist_train.sh configs/frcnn_r18.py 8
# On one GPU (--auto-scale-lr fits the learning rate to the batch size):
#   python tools/train.py configs/frcnn_r18.py --auto-scale-lr
# Result: not measured yet.

_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/runtime_det.py',
]

model = dict(
    backbone=dict(
        depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
