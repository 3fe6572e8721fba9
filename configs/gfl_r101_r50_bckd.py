# BCKD on MS COCO: GFL, ResNet-101 teaches ResNet-50, 1x schedule.
# Run: bash tools/dist_train.sh configs/gfl_r101_r50_bckd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. Its authors report 43.2 box AP, where their
#   student alone has 40.1.

_base_ = [
    './gfl_r50.py',
    './_base_/teachers/gfl_r101.py',
    './_base_/methods/bckd.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
