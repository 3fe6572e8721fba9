# DKD (Decoupled Knowledge Distillation) on CIFAR-100: VGG-13 teaches
# MobileNetV2, 240 epochs.
#
# To prepare: CIFAR-100 in data/cifar100/ (cifar-100-python.tar.gz, or its
#   files), or elsewhere with --cfg-options data_root=/path/to/cifar100/
#   The teacher's weights as checkpoints/cifar100/vgg13.pth, written by
#   tools/model_converters/convert_cifar_teachers.py or trained with
#   configs/cifar100/vgg13.py.
# On one GPU:
#   python tools/train.py configs/cifar100/vgg13_mobilenetv2_dkd.py
# Result: not measured yet.

_base_ = [
    './mobilenetv2.py',
    '../_base_/teachers/cifar100_vgg13.py',
    '../_base_/methods/cifar100_dkd.py',
]

distill = _base_.distill
distill.losses.loss_dkd.beta = 6.0
custom_hooks = [dict(teacher=_base_.teacher, **distill)]
