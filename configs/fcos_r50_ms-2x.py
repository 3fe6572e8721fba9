# FCOS with a ResNet-50 backbone on MS COCO, 2x schedule, images of several
# sizes, without a teacher: what the distilled students are compared with.
# Run: bash tools/dist_train.sh configs/fcos_r50_ms-2x.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. mmdet's zoo reports 38.5 box AP for these settings
#   (fcos_r50-caffe_fpn_gn-head_ms-640-800-2x_coco).

_base_ = 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_ms-640-800-2x_coco.py'

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3, save_best='coco/bbox_mAP')
)
