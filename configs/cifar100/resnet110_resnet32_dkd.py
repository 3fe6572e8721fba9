# DKD on CIFAR-100: ResNet-110 teaches ResNet-32, 240 epochs.
# Run: python tools/train.py configs/cifar100/resnet110_resnet32_dkd.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    './resnet32.py',
    '../_base_/teachers/cifar100_resnet110.py',
    '../_base_/methods/cifar100_dkd.py',
]

distill = _base_.distill
distill.losses.loss_dkd.beta = 2.0
custom_hooks = [dict(teacher=_base_.teacher, **distill)]
