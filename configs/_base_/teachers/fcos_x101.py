# FCOS ResNeXt-101 64x4d, 2x schedule, images of several sizes: 42.6 box AP,
# the teacher of MMRazor's config of PKD for RetinaNet.

teacher = dict(
    config='mmdet::fcos/fcos_x101-64x4d_fpn_gn-head_ms-640-800-2x_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/fcos/'
    'fcos_x101_64x4d_fpn_gn-head_mstrain_640-800_2x_coco/'
    'fcos_x101_64x4d_fpn_gn-head_mstrain_640-800_2x_coco-ede514a8.pth',
)
