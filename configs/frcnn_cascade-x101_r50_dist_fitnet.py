# DIST beside the FPN's squared distance on MS COCO: a Cascade Mask R-CNN
# ResNeXt-101 teaches a Faster R-CNN ResNet-50, 2x schedule, as in the config
# of DIST's authors (DIST + mimic).
# Run: bash tools/dist_train.sh configs/frcnn_cascade-x101_r50_dist_fitnet.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. Its authors report 41.8 box AP, where the student
#   alone has 38.4.

_base_ = [
    './frcnn_r50_2x.py',
    './_base_/teachers/cascade_mask_rcnn_x101.py',
    './_base_/methods/dist_fitnet.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
