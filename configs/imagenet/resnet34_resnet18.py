# RLD on ImageNet-1k: ResNet-34 teaches ResNet-18, 100 epochs.
# Another method of docs/classification.md: --cfg-options method=NAME
# Run: bash tools/dist_train.sh configs/imagenet/resnet34_resnet18.py 8
# Prepare: docs/datasets/imagenet.md
# Result: not measured yet.

_base_ = [
    './resnet18.py',
    '../_base_/teachers/imagenet_resnet34.py',
    '../_base_/methods/imagenet_rld.py',
]

method = 'rld'
custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
