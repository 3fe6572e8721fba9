# Faster R-CNN ResNet-101 FPN, Caffe-style backbone, multi-scale 3x schedule:
# 42.0 box AP, the best R101 Faster R-CNN of mmdet's model zoo.
#
# The config is the one of the same model's 1x schedule. It differs in the data
# preprocessor alone: Caffe-style backbones take BGR images that are not
# divided by a standard deviation, and these weights were trained so, but
# mmdet 3's own `faster-rcnn_r101-caffe_fpn_ms-3x_coco.py` has lost that
# setting and would feed them RGB images divided by about 57.

teacher = dict(
    config='mmdet::faster_rcnn/faster-rcnn_r101-caffe_fpn_1x_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/'
    'faster_rcnn_r101_caffe_fpn_mstrain_3x_coco/'
    'faster_rcnn_r101_caffe_fpn_mstrain_3x_coco_20210526_095742-a7ae426d.pth',
)
