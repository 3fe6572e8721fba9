# Deformable DETR with a ResNet-101 backbone on MS COCO, 50 epochs: the teacher
# of the ResNet-50 students, which mmdet's zoo does not have.
# Run: bash tools/dist_train.sh configs/deformable-detr_r101.py 16
# Prepare: docs/datasets/coco.md
# Result: not measured yet. DETRDistill reports 44.8 box AP for its own.

_base_ = './deformable-detr_r50.py'

model = dict(
    backbone=dict(
        depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')
    )
)
