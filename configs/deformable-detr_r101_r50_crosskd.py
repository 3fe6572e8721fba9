# CrossKD on MS COCO: Deformable DETR, ResNet-101 teaches ResNet-50, 50 epochs.
# The teacher must be trained first:
# bash tools/dist_train.sh configs/deformable-detr_r101.py 16
# Run: bash tools/dist_train.sh configs/deformable-detr_r101_r50_crosskd.py 16
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './deformable-detr_r50.py',
    './_base_/teachers/deformable-detr_r101.py',
    './_base_/methods/crosskd_detr.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
