# ResNet-50 on CIFAR-100 without a teacher, 240 epochs: the teacher of
# resnet50_*.py.
#
# To prepare: CIFAR-100 in data/cifar100/ (cifar-100-python.tar.gz, or its
#   files), or elsewhere with --cfg-options data_root=/path/to/cifar100/
# On one GPU:
#   python tools/train.py configs/cifar100/resnet50.py
# To teach:
#   cp work_dirs/resnet50/epoch_240.pth checkpoints/cifar100/resnet50.pth
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
