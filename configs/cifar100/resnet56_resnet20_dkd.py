# DKD on CIFAR-100: ResNet-56 teaches ResNet-20, 240 epochs.
# Run: python tools/train.py configs/cifar100/resnet56_resnet20_dkd.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    './resnet20.py',
    '../_base_/teachers/cifar100_resnet56.py',
    '../_base_/methods/cifar100_dkd.py',
]

distill = _base_.distill
distill.losses.loss_dkd.beta = 2.0
custom_hooks = [dict(teacher=_base_.teacher, **distill)]
