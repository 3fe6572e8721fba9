# CKD on CIFAR-100: WRN-40-2 teaches ShuffleNetV1, 480 epochs.
# Run: python tools/train.py configs/cifar100/wrn_40_2_shufflev1_ckd.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = ['./shufflev1.py', '../_base_/teachers/cifar100_wrn_40_2.py']

custom_hooks = [
    dict(type='CKDHook', teacher=_base_.teacher, tau=1.0, loss_weight=100.0)
]

train_dataloader = dict(batch_size=32)

# Its released schedule has twice the epochs of the other methods.
train_cfg = dict(max_epochs=480)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=480)]
