# Cosine on MS COCO: Faster R-CNN, DINOv2 ViT-B/14 teaches ResNet-50, 1x
# schedule.
# Run: bash tools/dist_train.sh configs/frcnn_dinov2-b_r50_cosine.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. Nothing is published for this pair; what is for
#   others is in docs/foundation_teachers.md.

_base_ = [
    './frcnn_r50.py',
    './_base_/teachers/dinov2-b.py',
    './_base_/methods/cosine_vit.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
