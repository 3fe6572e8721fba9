# RLD on CIFAR-100: ResNet-110 teaches ResNet-20, 240 epochs.
# Another method of docs/classification.md: --cfg-options method=NAME
# Run: python tools/train.py configs/cifar100/resnet110_resnet20.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    './resnet20.py',
    '../_base_/teachers/cifar100_resnet110.py',
    '../_base_/methods/cifar100_rld.py',
]

method = 'rld'
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
