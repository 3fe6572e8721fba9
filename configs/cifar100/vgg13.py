# VGG-13 on CIFAR-100 without a teacher, 240 epochs: the teacher of vgg13_*.py.
# Run: python tools/train.py configs/cifar100/vgg13.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    '../_base_/models/cifar100.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar100.py',
    '../_base_/runtime_cls.py',
]

model = dict(
    backbone=dict(type='CIFARVGG', depth=13), head=dict(in_channels=512)
)
