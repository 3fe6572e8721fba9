# DKD (Decoupled Knowledge Distillation) on CIFAR-100: ResNet-32x4 teaches
# ResNet-8x4, 240 epochs.
#
# To prepare: CIFAR-100 in data/cifar100/ (cifar-100-python.tar.gz, or its
#   files), or elsewhere with --cfg-options data_root=/path/to/cifar100/
#   The teacher's weights as checkpoints/cifar100/resnet32x4.pth, written by
#   tools/model_converters/convert_cifar_teachers.py or trained with
#   configs/cifar100/resnet32x4.py.
# On one GPU:
#   python tools/train.py configs/cifar100/resnet32x4_resnet8x4_dkd.py
# Result: not measured yet.

_base_ = [
    './resnet8x4.py',
    '../_base_/teachers/cifar100_resnet32x4.py',
    '../_base_/methods/cifar100_dkd.py',
]

custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
