# RLD (Refined Logit Distillation) on CIFAR-100: ResNet-110 teaches ResNet-32,
# 240 epochs.
#
# To prepare: CIFAR-100 in data/cifar100/ (cifar-100-python.tar.gz, or its
#   files), or elsewhere with --cfg-options data_root=/path/to/cifar100/
#   The teacher's weights as checkpoints/cifar100/resnet110.pth, written by
#   tools/model_converters/convert_cifar_teachers.py or trained with
#   configs/cifar100/resnet110.py.
# On one GPU:
#   python tools/train.py configs/cifar100/resnet110_resnet32_rld.py
# Result: not measured yet.

_base_ = [
    './resnet32.py',
    '../_base_/teachers/cifar100_resnet110.py',
    '../_base_/methods/cifar100_rld.py',
]

custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
