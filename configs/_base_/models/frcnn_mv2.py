# Faster R-CNN FPN with a MobileNetV2 of torchvision's ImageNet weights, the
# student of the papers on ReviewKD, DKD and CKD: its outputs at strides 4, 8,
# 16 and 32 have 24, 32, 96 and 320 channels. Nothing is frozen. This package
# reads those weights.

_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 6),
        norm_eval=True,
        init_cfg=dict(
            type='TorchvisionMobileNetV2Init',
            checkpoint='torchvision://mobilenet_v2',
        ),
    ),
    neck=dict(in_channels=[24, 32, 96, 320]),
)

# MMDetection's backbone also computes the last convolution, of 1,280 channels,
# which nothing reads here: without a gradient it would stop distributed
# training.
find_unused_parameters = True
