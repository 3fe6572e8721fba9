# KD on CIFAR-100: ResNet-32x4 teaches ResNet-8x4, 240 epochs.
# Run: python tools/train.py configs/cifar100/resnet32x4_resnet8x4_kd.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    './resnet8x4.py',
    '../_base_/teachers/cifar100_resnet32x4.py',
    '../_base_/methods/cifar100_kd.py',
]

# 0.1 of the cross entropy, beside 0.9 of the distillation term.
model = dict(head=dict(loss=dict(loss_weight=0.1)))
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
