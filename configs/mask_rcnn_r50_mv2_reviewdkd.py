# ReviewKD with DKD on MS COCO: Mask R-CNN, ResNet-50 teaches MobileNetV2, 2x
# schedule with 8 images per step.
# Run: bash tools/dist_train.sh configs/mask_rcnn_r50_mv2_reviewdkd.py 2
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './mask_rcnn_mv2_ms.py',
    './_base_/teachers/mask_rcnn_r50.py',
    './_base_/methods/reviewdkd.py',
]

distill = _base_.distill
distill.losses.loss_reviewkd.loss_weight = 2.0
custom_hooks = [dict(teacher=_base_.teacher, **distill)]
