# CKD (Contrastive Knowledge Distillation) on ImageNet-1k: ResNet-50 teaches
# MobileNetV1, 200 epochs.
#
# To prepare: ImageNet-1k in data/imagenet/ (train/ and val/, a folder for each
#   class), or elsewhere with --cfg-options data_root=/path/to/imagenet/
#   The teacher's weights are downloaded. Without internet, give a file:
#     --cfg-options custom_hooks.0.teacher.checkpoint=/path/to/teacher.pth
# On 8 GPUs x 64 images:
#   bash tools/dist_train.sh configs/imagenet/resnet50_mobilenetv1_ckd.py 8
# On one GPU (--auto-scale-lr fits the learning rate to the batch size):
#   python tools/train.py configs/imagenet/resnet50_mobilenetv1_ckd.py \
#     --auto-scale-lr
# Result: not measured yet.

_base_ = ['./mobilenetv1.py', '../_base_/teachers/imagenet_resnet50.py']

# The negatives of an image are the others on its GPU; with `gather=True` in
# this dict, those on all GPUs.
custom_hooks = [
    dict(type='CKDHook', teacher=_base_.teacher, tau=1.0, loss_weight=10.0)
]

# Its released schedule has twice the epochs of the other methods.
train_cfg = dict(max_epochs=200)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=200)]
