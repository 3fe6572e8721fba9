# CKD (Contrastive Knowledge Distillation) on CIFAR-100: VGG-13 teaches
# MobileNetV2, on the schedule of the other methods: 240 epochs, batches of 64.
#
# To prepare: CIFAR-100 in data/cifar100/ (cifar-100-python.tar.gz, or its
#   files), or elsewhere with --cfg-options data_root=/path/to/cifar100/
#   The teacher's weights as checkpoints/cifar100/vgg13.pth, written by
#   tools/model_converters/convert_cifar_teachers.py or trained with
#   configs/cifar100/vgg13.py.
# On one GPU:
#   python tools/train.py configs/cifar100/vgg13_mobilenetv2_ckd_240e.py
# Result: not measured yet.

_base_ = './vgg13_mobilenetv2_ckd.py'

train_dataloader = dict(batch_size=64)
train_cfg = dict(max_epochs=240)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[150, 180, 210], gamma=0.1)
]
