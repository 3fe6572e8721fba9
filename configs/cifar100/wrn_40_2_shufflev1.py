# RLD on CIFAR-100: WRN-40-2 teaches ShuffleNetV1, 240 epochs.
# Another method of docs/classification.md: --cfg-options method=NAME
# Run: python tools/train.py configs/cifar100/wrn_40_2_shufflev1.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    './shufflev1.py',
    '../_base_/teachers/cifar100_wrn_40_2.py',
    '../_base_/methods/cifar100_rld.py',
]

method = 'rld'
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
