# RLD on ImageNet-1k: ResNet-34 teaches ResNet-18, 100 epochs.
# Run: bash tools/dist_train.sh configs/imagenet/resnet34_resnet18_rld.py 8
# Prepare: docs/datasets/imagenet.md
# Result: not measured yet.

_base_ = ['./resnet18.py', '../_base_/teachers/imagenet_resnet34.py']

custom_hooks = [
    dict(
        type='RLDHook',
        teacher=_base_.teacher,
        alpha=1.0,
        beta=0.5,
        tau_scd=1.0,
        tau_mcd=1.0,
        warmup=1,
    )
]
