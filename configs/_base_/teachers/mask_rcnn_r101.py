# Mask R-CNN ResNet-101 FPN, Caffe-style backbone, multi-scale 3x schedule:
# 42.9 box AP. Of MMDetection's model zoo it is the nearest to the teacher of
# the papers on ReviewKD, DKD and CKD, Detectron2's R101 of 3x; its input is
# the same.

teacher = dict(
    config='mmdet::mask_rcnn/mask-rcnn_r101-caffe_fpn_ms-poly-3x_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/'
    'mask_rcnn_r101_caffe_fpn_mstrain-poly_3x_coco/'
    'mask_rcnn_r101_caffe_fpn_mstrain-poly_3x_coco'
    '_20210526_132339-3c33ce02.pth',
)
