# DKD on CIFAR-100: WRN-40-2 teaches MobileNetV2, 240 epochs.
# Run: python tools/train.py configs/cifar100/wrn_40_2_mobilenetv2_dkd.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    './mobilenetv2.py',
    '../_base_/teachers/cifar100_wrn_40_2.py',
    '../_base_/methods/cifar100_dkd.py',
]

distill = _base_.distill
distill.losses.loss_dkd.beta = 6.0
custom_hooks = [dict(teacher=_base_.teacher, **distill)]
