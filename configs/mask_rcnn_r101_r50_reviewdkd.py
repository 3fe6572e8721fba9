# ReviewKD with DKD on MS COCO: Mask R-CNN, ResNet-101 teaches ResNet-50, 2x
# schedule with 8 images per step.
# Run: bash tools/dist_train.sh configs/mask_rcnn_r101_r50_reviewdkd.py 2
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './mask_rcnn_r50_ms.py',
    './_base_/teachers/mask_rcnn_r101.py',
    './_base_/methods/reviewdkd.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
