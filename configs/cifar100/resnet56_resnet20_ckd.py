# CKD (Contrastive Knowledge Distillation) on CIFAR-100: ResNet-56 teaches
# ResNet-20, 480 epochs.
#
# To prepare: CIFAR-100 in data/cifar100/ (cifar-100-python.tar.gz, or its
#   files), or elsewhere with --cfg-options data_root=/path/to/cifar100/
#   The teacher's weights as checkpoints/cifar100/resnet56.pth, written by
#   tools/model_converters/convert_cifar_teachers.py or trained with
#   configs/cifar100/resnet56.py.
# On one GPU:
#   python tools/train.py configs/cifar100/resnet56_resnet20_ckd.py
# Result: not measured yet.

_base_ = ['./resnet20.py', '../_base_/teachers/cifar100_resnet56.py']

custom_hooks = [
    dict(type='CKDHook', teacher=_base_.teacher, tau=1.0, loss_weight=10.0)
]

# Its released schedule has twice the epochs of the other methods.
train_cfg = dict(max_epochs=480)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=480)]
