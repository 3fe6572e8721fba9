# Cascade Mask R-CNN ResNeXt-101 64x4d FPN, 20 epochs: 45.6 box AP, the teacher
# of DIST's COCO experiments. Its first box head teaches.

teacher = dict(
    config='mmdet::cascade_rcnn/cascade-mask-rcnn_x101-64x4d_fpn_20e_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/cascade_rcnn/'
    'cascade_mask_rcnn_x101_64x4d_fpn_20e_coco/'
    'cascade_mask_rcnn_x101_64x4d_fpn_20e_coco_20200512_161033-bdb5126a.pth',
)
