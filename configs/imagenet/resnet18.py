# ResNet-18 on ImageNet-1k without a teacher, 100 epochs: what the distilled
# ResNet-18 students are compared with.
# Run: bash tools/dist_train.sh configs/imagenet/resnet18.py 8
# Prepare: docs/datasets/imagenet.md
# Result: not measured yet.

_base_ = [
    'mmpretrain::_base_/models/resnet18.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet.py',
    '../_base_/runtime_cls.py',
]

# The weights begin as those of torchvision's ResNets.
model = dict(backbone=dict(zero_init_residual=False), head=dict(init_cfg=None))
