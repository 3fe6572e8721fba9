# PKD on MS COCO: RetinaNet, ResNet-101 teaches ResNet-50, 2x schedule.
# Run: bash tools/dist_train.sh configs/retinanet_r101_r50_pkd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. MMRazor reports 40.8 box AP with a ResNeXt-101 as
#   teacher, where the student alone has 37.4.

_base_ = [
    './retinanet_r50_2x.py',
    './_base_/teachers/retinanet_r101.py',
    './_base_/methods/pkd_retinanet.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
