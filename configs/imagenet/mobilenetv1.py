# MobileNetV1 on ImageNet-1k without a teacher, 100 epochs: what the distilled
# MobileNetV1 students are compared with.
#
# To prepare: ImageNet-1k in data/imagenet/ (train/ and val/, a folder for each
#   class), or elsewhere with --cfg-options data_root=/path/to/imagenet/
# On 8 GPUs x 64 images:
#   bash tools/dist_train.sh configs/imagenet/mobilenetv1.py 8
# On one GPU (--auto-scale-lr fits the learning rate to the batch size):
#   python tools/train.py configs/imagenet/mobilenetv1.py \
#     --auto-scale-lr
# Result: not measured yet.

_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet.py',
    '../_base_/runtime_cls.py',
]

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
