# ResNet-50 on CIFAR-100 without a teacher, 240 epochs: the teacher of
# resnet50_*.py.
# Run: python tools/train.py configs/cifar100/resnet50.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    '../_base_/models/cifar100.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar100.py',
    '../_base_/runtime_cls.py',
]

model = dict(
    backbone=dict(type='ResNet_CIFAR', depth=50, zero_init_residual=False),
    head=dict(in_channels=2048),
)
