# Faster R-CNN FPN with a ResNet-18 backbone on MS COCO at several scales, 1x
# schedule with 4 images per step, without a teacher: what ReviewKD is compared
# with.
# Run: bash tools/dist_train.sh configs/frcnn_r18_ms.py 2
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './_base_/models/frcnn_r18.py',
    './_base_/datasets/coco_ms.py',
    './_base_/schedules/coco_reviewckd.py',
    './_base_/runtime_det.py',
]

# Batch normalization is frozen: statistics (`norm_eval`) and affine.
model = dict(backbone=dict(norm_cfg=dict(type='BN', requires_grad=False)))

# 360,000 steps of 4 images, at the same rate.
train_dataloader = dict(batch_size=2)
train_cfg = dict(max_epochs=12)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=12, milestones=[8, 11])
auto_scale_lr = dict(base_batch_size=4)
