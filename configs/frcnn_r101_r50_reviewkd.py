# ReviewKD alone on MS COCO: Faster R-CNN, ResNet-101 teaches ResNet-50, 2x
# schedule with 8 images per step.
# Run: bash tools/dist_train.sh configs/frcnn_r101_r50_reviewkd.py 2
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './frcnn_r50_ms.py',
    './_base_/teachers/frcnn_r101.py',
    './_base_/methods/reviewkd.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
