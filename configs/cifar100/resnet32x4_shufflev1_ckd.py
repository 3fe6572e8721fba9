# CKD (Contrastive Knowledge Distillation) on CIFAR-100: ResNet-32x4 teaches
# ShuffleNetV1, 480 epochs.
#
# To prepare: CIFAR-100 in data/cifar100/ (cifar-100-python.tar.gz, or its
#   files), or elsewhere with --cfg-options data_root=/path/to/cifar100/
#   The teacher's weights as checkpoints/cifar100/resnet32x4.pth, written by
#   tools/model_converters/convert_cifar_teachers.py or trained with
#   configs/cifar100/resnet32x4.py.
# On one GPU:
#   python tools/train.py configs/cifar100/resnet32x4_shufflev1_ckd.py
# Result: not measured yet.

_base_ = ['./shufflev1.py', '../_base_/teachers/cifar100_resnet32x4.py']

custom_hooks = [
    dict(type='CKDHook', teacher=_base_.teacher, tau=1.0, loss_weight=100.0)
]

train_dataloader = dict(batch_size=32)

# Its released schedule has twice the epochs of the other methods.
train_cfg = dict(max_epochs=480)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=480)]
