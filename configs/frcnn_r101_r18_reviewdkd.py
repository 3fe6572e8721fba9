# ReviewKD with DKD on MS COCO: Faster R-CNN, ResNet-101 teaches ResNet-18, 1x
# schedule with 4 images per step.
# Run: bash tools/dist_train.sh configs/frcnn_r101_r18_reviewdkd.py 2
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './frcnn_r18_ms.py',
    './_base_/teachers/frcnn_r101.py',
    './_base_/methods/reviewdkd.py',
]

distill = _base_.distill
distill.losses.loss_reviewkd.loss_weight = 1.2
custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **distill)]
