# Deformable DETR ResNet-101, 50 epochs, as configs/deformable-detr_r101.py
# trains it. mmdet's zoo has no weights of it: train it first.

teacher = dict(
    config='{{ fileDirname }}/../../deformable-detr_r101.py',
    checkpoint='checkpoints/coco/deformable-detr_r101.pth',
)
