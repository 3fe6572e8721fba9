# CKD on MS COCO: Faster R-CNN, ResNet-101 teaches ResNet-18, 1x schedule.
# Run: bash tools/dist_train.sh configs/frcnn_r101_r18_ckd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './frcnn_r18.py',
    './_base_/teachers/frcnn_r101.py',
    './_base_/methods/ckd.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
