# Mask R-CNN with a Swin-S backbone, 3x schedule, images of several sizes: 48.2
# box AP, the teacher of MMRazor's config of PKD for RetinaNet.

teacher = dict(
    config='mmdet::swin/mask-rcnn_swin-s-p4-w7_fpn_amp-ms-crop-3x_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/swin/'
    'mask_rcnn_swin-s-p4-w7_fpn_fp16_ms-crop-3x_coco/'
    'mask_rcnn_swin-s-p4-w7_fpn_fp16_ms-crop-3x_coco_20210903_104808-'
    'b92c91f1.pth',
)
