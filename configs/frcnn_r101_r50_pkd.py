# PKD on MS COCO: Faster R-CNN, ResNet-101 teaches ResNet-50, 2x schedule, as
# in MMRazor's config.
# Run: bash tools/dist_train.sh configs/frcnn_r101_r50_pkd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. MMRazor reports 40.3 box AP (in its metafile 40.4),
#   where the student alone has 38.4.

_base_ = [
    './frcnn_r50_2x.py',
    './_base_/teachers/frcnn_r101_2x.py',
    './_base_/methods/pkd.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
