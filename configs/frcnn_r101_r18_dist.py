# DIST (Distillation from A Stronger Teacher) on MS COCO:
# Faster R-CNN FPN ResNet-101 teaches Faster R-CNN FPN ResNet-18, 1x schedule.
#
# To prepare: COCO 2017 in data/coco/ (annotations/, train2017/, val2017/), or
#   elsewhere with --cfg-options data_root=/path/to/coco/
#   The teacher and the student's ImageNet weights are downloaded. Without
#   internet, give files: --cfg-options
#     custom_hooks.0.teacher.checkpoint=/path/to/teacher.pth
#     model.backbone.init_cfg.checkpoint=/path/to/resnet18.pth
# On 8 GPUs x 2 images:
#   bash tools/dist_train.sh configs/frcnn_r101_r18_dist.py 8
# On one GPU (--auto-scale-lr fits the learning rate to the batch size):
#   python tools/train.py configs/frcnn_r101_r18_dist.py --auto-scale-lr
# Result: not measured yet.

_base_ = [
    './frcnn_r18.py',
    './_base_/teachers/frcnn_r101.py',
    './_base_/methods/dist.py',
]

custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
