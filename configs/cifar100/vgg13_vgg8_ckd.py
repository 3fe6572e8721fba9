# CKD on CIFAR-100: VGG-13 teaches VGG-8, 480 epochs.
# Run: python tools/train.py configs/cifar100/vgg13_vgg8_ckd.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = ['./vgg8.py', '../_base_/teachers/cifar100_vgg13.py']

custom_hooks = [
    dict(type='CKDHook', teacher=_base_.teacher, tau=1.0, loss_weight=100.0)
]

# Its released schedule has twice the epochs of the other methods.
train_cfg = dict(max_epochs=480)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=480)]
