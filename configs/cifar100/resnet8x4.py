# ResNet-8x4 on CIFAR-100 without a teacher, 240 epochs: what the distilled
# ResNet-8x4 students are compared with.
# Run: python tools/train.py configs/cifar100/resnet8x4.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    '../_base_/models/cifar100.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar100.py',
    '../_base_/runtime_cls.py',
]

model = dict(
    backbone=dict(type='CIFARResNet', depth=8, channels=(32, 64, 128, 256)),
    head=dict(in_channels=256),
)
