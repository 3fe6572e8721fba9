# DIST on MS COCO: the first box head of a Cascade Mask R-CNN ResNeXt-101
# teaches a Faster R-CNN ResNet-50, 2x schedule, as in its authors' config.
# Run: bash tools/dist_train.sh configs/frcnn_cascade-x101_r50_dist.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. Its authors report 40.4 box AP, where the student
#   alone has 38.4.

_base_ = [
    './frcnn_r50_2x.py',
    './_base_/teachers/cascade_mask_rcnn_x101.py',
    './_base_/methods/dist.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
