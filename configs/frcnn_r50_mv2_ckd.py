# CKD on MS COCO: Faster R-CNN, ResNet-50 teaches MobileNetV2, 1x schedule.
# Run: bash tools/dist_train.sh configs/frcnn_r50_mv2_ckd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './frcnn_mv2.py',
    './_base_/teachers/frcnn_r50.py',
    './_base_/methods/ckd.py',
]

custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
