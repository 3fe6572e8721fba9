# KD (classical knowledge distillation) on CIFAR-100: WRN-40-2 teaches
# ResNet-8x4, 240 epochs.
#
# To prepare: CIFAR-100 in data/cifar100/ (cifar-100-python.tar.gz, or its
#   files), or elsewhere with --cfg-options data_root=/path/to/cifar100/
#   The teacher's weights as checkpoints/cifar100/wrn_40_2.pth, written by
#   tools/model_converters/convert_cifar_teachers.py or trained with
#   configs/cifar100/wrn_40_2.py.
# On one GPU:
#   python tools/train.py configs/cifar100/wrn_40_2_resnet8x4_kd.py
# Result: not measured yet.

_base_ = [
    './resnet8x4.py',
    '../_base_/teachers/cifar100_wrn_40_2.py',
    '../_base_/methods/cifar100_kd.py',
]

# 0.1 of the cross entropy, beside 0.9 of the distillation term.
model = dict(head=dict(loss=dict(loss_weight=0.1)))
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
