# RLD on CIFAR-100: ResNet-32x4 teaches ShuffleNetV2, 240 epochs.
# Another method of docs/classification.md: --cfg-options method=NAME
# Run: python tools/train.py configs/cifar100/resnet32x4_shufflev2.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    './shufflev2.py',
    '../_base_/teachers/cifar100_resnet32x4.py',
    '../_base_/methods/cifar100_rld.py',
]

method = 'rld'
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
