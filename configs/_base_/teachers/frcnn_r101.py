# Faster R-CNN ResNet-101 FPN, Caffe-style backbone, multi-scale 3x schedule:
# 42.0 box AP, the best R101 Faster R-CNN of mmdet's model zoo. It was trained
# on BGR images that are not divided by a std; the plugin converts the
# student's images for it.

teacher = dict(
    config='mmdet::faster_rcnn/faster-rcnn_r101-caffe_fpn_ms-3x_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/'
    'faster_rcnn_r101_caffe_fpn_mstrain_3x_coco/'
    'faster_rcnn_r101_caffe_fpn_mstrain_3x_coco_20210526_095742-a7ae426d.pth',
)
