# DETRDistill's logits and boxes on MS COCO: Deformable DETR, ResNet-101
# teaches ResNet-50, 50 epochs. The teacher must be trained first:
# bash tools/dist_train.sh configs/deformable-detr_r101.py 16
# Run: bash tools/dist_train.sh configs/deformable-detr_r101_r50_detrdistill.py 16
# Prepare: docs/datasets/coco.md
# Result: not measured yet. Its authors report 46.6 box AP with a teacher of
#   44.8, where the student alone has 44.1; with two more terms.

_base_ = [
    './deformable-detr_r50.py',
    './_base_/teachers/deformable-detr_r101.py',
    './_base_/methods/detrdistill.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
