# PKD on MS COCO: RetinaNet, Mask R-CNN with a Swin-S teaches ResNet-50, 2x
# schedule, as in MMRazor's config.
# Run: bash tools/dist_train.sh configs/retinanet_swin-s_r50_pkd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. MMRazor reports 41.5 box AP, where the student
#   alone has 37.4.

_base_ = [
    './retinanet_r50_2x.py',
    './_base_/teachers/mask_rcnn_swin_s.py',
    './_base_/methods/pkd_retinanet_by_order.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
