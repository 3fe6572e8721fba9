# MobileNetV2 of half width on CIFAR-100 without a teacher, 240 epochs: what
# the distilled MobileNetV2 students are compared with.
# Run: python tools/train.py configs/cifar100/mobilenetv2.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = [
    '../_base_/models/cifar100.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar100.py',
    '../_base_/runtime_cls.py',
]

model = dict(
    backbone=dict(type='CIFARMobileNetV2', widen_factor=0.5),
    head=dict(in_channels=1280),
)
optim_wrapper = dict(optimizer=dict(lr=0.01))
