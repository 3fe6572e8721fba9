# CrossKD on MS COCO: FCOS, ResNet-101 teaches ResNet-50, 2x schedule, images
# of several sizes.
# Run: bash tools/dist_train.sh configs/fcos_r101_r50_crosskd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. Its authors report 41.1 box AP, where their
#   student alone has 38.5.

_base_ = [
    './fcos_r50_ms-2x.py',
    './_base_/teachers/fcos_r101.py',
    './_base_/methods/crosskd_fcos.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
