# Faster R-CNN FPN with a ResNet-18 of torchvision's ImageNet weights. Its stem
# and first stage are frozen.

_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

model = dict(
    backbone=dict(
        depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
