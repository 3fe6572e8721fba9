# CKD on ImageNet-1k: ResNet-50 teaches MobileNetV1, 200 epochs.
# Run: bash tools/dist_train.sh configs/imagenet/resnet50_mobilenetv1_ckd.py 8
# Prepare: docs/datasets/imagenet.md
# Result: not measured yet.

_base_ = ['./mobilenetv1.py', '../_base_/teachers/imagenet_resnet50.py']

# The negatives of an image are the others on its GPU; with `gather=True` in
# this dict, those on all GPUs.
custom_hooks = [
    dict(type='CKDHook', teacher=_base_.teacher, tau=1.0, loss_weight=10.0)
]

# Its released schedule has twice the epochs of the other methods.
train_cfg = dict(max_epochs=200)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=200)]
