# MobileNetV1 on ImageNet-1k without a teacher, 100 epochs: what the distilled
# MobileNetV1 students are compared with. The network is this package's.
# Run: bash tools/dist_train.sh configs/imagenet/mobilenetv1.py 8
# Prepare: docs/datasets/imagenet.md
# Result: not measured yet.

_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet.py',
    '../_base_/runtime_cls.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='MobileNetV1'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        init_cfg=None,
    ),
)
