# Mask R-CNN ResNet-50 FPN, Caffe-style backbone, multi-scale 3x schedule: 40.8
# box AP. Of MMDetection's model zoo it is the nearest to the teacher of the
# papers on ReviewKD, DKD and CKD, Detectron2's R50 of 3x; its input is the
# same.

teacher = dict(
    config='mmdet::mask_rcnn/mask-rcnn_r50-caffe_fpn_ms-poly-3x_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/'
    'mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco/'
    'mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco_bbox_mAP-0.408__segm_mAP-0.37'
    '_20200504_163245-42aa3d00.pth',
)
