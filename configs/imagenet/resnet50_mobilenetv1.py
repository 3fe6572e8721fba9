# RLD on ImageNet-1k: ResNet-50 teaches MobileNetV1, 100 epochs.
# Another method of docs/classification.md: --cfg-options method=NAME
# Run: bash tools/dist_train.sh configs/imagenet/resnet50_mobilenetv1.py 8
# Prepare: docs/datasets/imagenet.md
# Result: not measured yet.

_base_ = [
    './mobilenetv1.py',
    '../_base_/teachers/imagenet_resnet50.py',
    '../_base_/methods/imagenet_rld.py',
]

method = 'rld'
distill = _base_.distill
distill.update(_base_.pairs.resnet50_mobilenetv1.distill)
custom_hooks = [dict(teacher=_base_.teacher, **distill)]
