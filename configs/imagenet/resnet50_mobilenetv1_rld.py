# RLD on ImageNet-1k: ResNet-50 teaches MobileNetV1, 100 epochs.
# Run: bash tools/dist_train.sh configs/imagenet/resnet50_mobilenetv1_rld.py 8
# Prepare: docs/datasets/imagenet.md
# Result: not measured yet.

_base_ = ['./mobilenetv1.py', '../_base_/teachers/imagenet_resnet50.py']

custom_hooks = [
    dict(
        type='RLDHook',
        teacher=_base_.teacher,
        alpha=1.0,
        beta=2.0,
        tau_scd=1.0,
        tau_mcd=1.0,
        warmup=1,
    )
]
