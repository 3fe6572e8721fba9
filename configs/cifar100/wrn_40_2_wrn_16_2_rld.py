# RLD (Refined Logit Distillation) on CIFAR-100: WRN-40-2 teaches WRN-16-2, 240
# epochs.
#
# To prepare: CIFAR-100 in data/cifar100/ (cifar-100-python.tar.gz, or its
#   files), or elsewhere with --cfg-options data_root=/path/to/cifar100/
#   The teacher's weights as checkpoints/cifar100/wrn_40_2.pth, written by
#   tools/model_converters/convert_cifar_teachers.py or trained with
#   configs/cifar100/wrn_40_2.py.
# On one GPU:
#   python tools/train.py configs/cifar100/wrn_40_2_wrn_16_2_rld.py
# Result: not measured yet.

_base_ = [
    './wrn_16_2.py',
    '../_base_/teachers/cifar100_wrn_40_2.py',
    '../_base_/methods/cifar100_rld.py',
]

custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
