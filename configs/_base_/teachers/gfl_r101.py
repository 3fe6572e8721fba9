# GFL ResNet-101, 2x schedule, images of several sizes: 44.7 box AP, the
# teacher of BCKD, LD and CrossKD.

teacher = dict(
    config='mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/gfl/'
    'gfl_r101_fpn_mstrain_2x_coco/'
    'gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth',
)
