# CKD on CIFAR-100: VGG-13 teaches MobileNetV2, 480 epochs.
# Run: python tools/train.py configs/cifar100/vgg13_mobilenetv2_ckd.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = ['./mobilenetv2.py', '../_base_/teachers/cifar100_vgg13.py']

custom_hooks = [
    dict(type='CKDHook', teacher=_base_.teacher, tau=2.0, loss_weight=50.0)
]

train_dataloader = dict(batch_size=32)

# Its released schedule has twice the epochs of the other methods.
train_cfg = dict(max_epochs=480)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=480)]
