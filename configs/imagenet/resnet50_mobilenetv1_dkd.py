# DKD (Decoupled Knowledge Distillation) on ImageNet-1k: ResNet-50 teaches
# MobileNetV1, 100 epochs.
#
# To prepare: ImageNet-1k in data/imagenet/ (train/ and val/, a folder for each
#   class), or elsewhere with --cfg-options data_root=/path/to/imagenet/
#   The teacher's weights are downloaded. Without internet, give a file:
#     --cfg-options custom_hooks.0.teacher.checkpoint=/path/to/teacher.pth
# On 8 GPUs x 64 images:
#   bash tools/dist_train.sh configs/imagenet/resnet50_mobilenetv1_dkd.py 8
# On one GPU (--auto-scale-lr fits the learning rate to the batch size):
#   python tools/train.py configs/imagenet/resnet50_mobilenetv1_dkd.py \
#     --auto-scale-lr
# Result: not measured yet.

_base_ = ['./mobilenetv1.py', '../_base_/teachers/imagenet_resnet50.py']

custom_hooks = [
    dict(
        type='DistillHook',
        teacher=_base_.teacher,
        losses=dict(
            loss_dkd=dict(type='DKDLoss', alpha=1.0, beta=2.0, tau=1.0)
        ),
        warmup=1,
    )
]
