# WRN-40-2 on CIFAR-100 without a teacher, 240 epochs: what the distilled
# WRN-40-2 students are compared with, and the teacher of wrn_40_2_*.py.
# Run: python tools/train.py configs/cifar100/wrn_40_2.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    '../_base_/models/cifar100.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar100.py',
    '../_base_/runtime_cls.py',
]

model = dict(
    backbone=dict(type='CIFARWideResNet', depth=40, widen_factor=2),
    head=dict(in_channels=128),
)
