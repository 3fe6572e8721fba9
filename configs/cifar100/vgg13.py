# VGG-13 on CIFAR-100 without a teacher, 240 epochs: the teacher of vgg13_*.py.
#
# To prepare: CIFAR-100 in data/cifar100/ (cifar-100-python.tar.gz, or its
#   files), or elsewhere with --cfg-options data_root=/path/to/cifar100/
# On one GPU:
#   python tools/train.py configs/cifar100/vgg13.py
# To teach:
#   cp work_dirs/vgg13/epoch_240.pth checkpoints/cifar100/vgg13.pth
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
