# Faster R-CNN ResNet-50 FPN, Caffe-style backbone, multi-scale 3x schedule:
# 39.9 box AP. Of MMDetection's model zoo it is the nearest to the teacher of
# the papers on ReviewKD, DKD and CKD, Detectron2's R50 of 3x; its input is the
# same.

teacher = dict(
    config='mmdet::faster_rcnn/faster-rcnn_r50-caffe_fpn_ms-3x_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/'
    'faster_rcnn_r50_caffe_fpn_mstrain_3x_coco/'
    'faster_rcnn_r50_caffe_fpn_mstrain_3x_coco_20210526_095054-1f77628b.pth',
)
