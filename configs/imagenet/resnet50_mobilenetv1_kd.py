# KD on ImageNet-1k: ResNet-50 teaches MobileNetV1, 100 epochs.
# Run: bash tools/dist_train.sh configs/imagenet/resnet50_mobilenetv1_kd.py 8
# Prepare: docs/datasets/imagenet.md
# Result: not measured yet.

_base_ = ['./mobilenetv1.py', '../_base_/teachers/imagenet_resnet50.py']

# 0.5 of the cross entropy, beside 0.5 of the distillation term.
model = dict(head=dict(loss=dict(loss_weight=0.5)))
custom_hooks = [
    dict(
        type='DistillHook',
        teacher=_base_.teacher,
        losses=dict(loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=0.5)),
    )
]
