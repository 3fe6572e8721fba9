# CKD on MS COCO: Cascade R-CNN, ResNet-101 teaches ResNet-50, 1x schedule, a
# term on the RoIs of each of the three stages.
# Run: bash tools/dist_train.sh configs/cascade-rcnn_r101_r50_ckd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './cascade-rcnn_r50.py',
    './_base_/teachers/cascade_rcnn_r101.py',
    './_base_/methods/ckd.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
