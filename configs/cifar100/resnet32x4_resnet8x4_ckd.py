# CKD on CIFAR-100: ResNet-32x4 teaches ResNet-8x4, 480 epochs.
# Run: python tools/train.py configs/cifar100/resnet32x4_resnet8x4_ckd.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = ['./resnet8x4.py', '../_base_/teachers/cifar100_resnet32x4.py']

custom_hooks = [
    dict(type='CKDHook', teacher=_base_.teacher, tau=1.0, loss_weight=100.0)
]

# Its released schedule has twice the epochs of the other methods.
train_cfg = dict(max_epochs=480)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=480)]
