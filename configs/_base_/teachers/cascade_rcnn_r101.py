# Cascade R-CNN ResNet-101 FPN, 20 epochs: 42.5 box AP, the best R101 Cascade
# R-CNN of mmdet's model zoo. Its three box heads teach.

teacher = dict(
    config='mmdet::cascade_rcnn/cascade-rcnn_r101_fpn_20e_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/cascade_rcnn/'
    'cascade_rcnn_r101_fpn_20e_coco/'
    'cascade_rcnn_r101_fpn_20e_coco_bbox_mAP-0.425_20200504_231812-5057dcc5.pth',
)
