# CKD on MS COCO: RetinaNet, ResNet-101 teaches ResNet-50, 2x schedule, on the
# positives.
# Run: bash tools/dist_train.sh configs/retinanet_r101_r50_ckd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet, and published by nobody.

_base_ = [
    './retinanet_r50_2x.py',
    './_base_/teachers/retinanet_r101.py',
    './_base_/methods/ckd_dense.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
