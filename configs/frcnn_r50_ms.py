# Faster R-CNN FPN with a ResNet-50 backbone on MS COCO at several scales, 2x
# schedule with 8 images per step, without a teacher: what ReviewKD is compared
# with.
# Run: bash tools/dist_train.sh configs/frcnn_r50_ms.py 2
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    './_base_/datasets/coco_ms.py',
    './_base_/schedules/coco_reviewckd.py',
    './_base_/runtime_det.py',
]

# Batch normalization is frozen: statistics (`norm_eval`) and affine.
model = dict(backbone=dict(norm_cfg=dict(type='BN', requires_grad=False)))
