# CKD on CIFAR-100: VGG-13 teaches MobileNetV2, on the schedule of the other
# methods: 240 epochs, batches of 64.
# Run: python tools/train.py configs/cifar100/vgg13_mobilenetv2_ckd_240e.py
# Prepare: docs/datasets/cifar100.md
# Result: not measured yet.

_base_ = './vgg13_mobilenetv2_ckd.py'

train_dataloader = dict(batch_size=64)
train_cfg = dict(max_epochs=240)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[150, 180, 210], gamma=0.1)
]
