# DKD on CIFAR-100: VGG-13 teaches MobileNetV2, 240 epochs.
# Run: python tools/train.py configs/cifar100/vgg13_mobilenetv2_dkd.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    './mobilenetv2.py',
    '../_base_/teachers/cifar100_vgg13.py',
    '../_base_/methods/cifar100_dkd.py',
]

distill = _base_.distill
distill.losses.loss_dkd.beta = 6.0
custom_hooks = [dict(teacher=_base_.teacher, **distill)]
