# PKD on MS COCO: RetinaNet, FCOS with a ResNeXt-101 teaches ResNet-50, 1x
# schedule, as in MMRazor's config.
# Run: bash tools/dist_train.sh configs/retinanet_fcos-x101_r50_pkd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. MMRazor reports 40.3 box AP, where the student
#   alone has 36.5.

_base_ = [
    './retinanet_r50.py',
    './_base_/teachers/fcos_x101.py',
    './_base_/methods/pkd_retinanet.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
