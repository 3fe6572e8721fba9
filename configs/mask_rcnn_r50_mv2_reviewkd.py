# ReviewKD alone on MS COCO: Mask R-CNN, ResNet-50 teaches MobileNetV2, 2x
# schedule with 8 images per step.
# Run: bash tools/dist_train.sh configs/mask_rcnn_r50_mv2_reviewkd.py 2
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './mask_rcnn_mv2_ms.py',
    './_base_/teachers/mask_rcnn_r50.py',
    './_base_/methods/reviewkd.py',
]

custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
