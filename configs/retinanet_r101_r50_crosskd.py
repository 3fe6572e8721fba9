# CrossKD on MS COCO: RetinaNet, ResNet-101 teaches ResNet-50, 2x schedule.
# Run: bash tools/dist_train.sh configs/retinanet_r101_r50_crosskd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. Its authors report 39.7 box AP, where their
#   student alone has 37.4.

_base_ = [
    './retinanet_r50_2x.py',
    './_base_/teachers/retinanet_r101.py',
    './_base_/methods/crosskd_retinanet.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
