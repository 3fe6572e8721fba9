# RLD on CIFAR-100: VGG-13 teaches VGG-8, 240 epochs.
# Another method of docs/classification.md: --cfg-options method=NAME
# Run: python tools/train.py configs/cifar100/vgg13_vgg8.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    './vgg8.py',
    '../_base_/teachers/cifar100_vgg13.py',
    '../_base_/methods/cifar100_rld.py',
]

method = 'rld'
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
