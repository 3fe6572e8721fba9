# ResNet-32x4 on CIFAR-100 without a teacher, 240 epochs: the teacher of
# resnet32x4_*.py.
# Run: python tools/train.py configs/cifar100/resnet32x4.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    '../_base_/models/cifar100.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar100.py',
    '../_base_/runtime_cls.py',
]

model = dict(
    backbone=dict(type='CIFARResNet', depth=32, channels=(32, 64, 128, 256)),
    head=dict(in_channels=256),
)
