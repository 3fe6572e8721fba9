# Faster R-CNN ResNet-50 FPN, multi-scale 3x schedule: 40.3 box AP, the best
# R50 Faster R-CNN of mmdet's model zoo.

teacher = dict(
    config='mmdet::faster_rcnn/faster-rcnn_r50_fpn_ms-3x_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/'
    'faster_rcnn_r50_fpn_mstrain_3x_coco/'
    'faster_rcnn_r50_fpn_mstrain_3x_coco_20210524_110822-e10bd31c.pth',
)
