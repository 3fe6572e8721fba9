# RetinaNet with a ResNet-50 backbone on MS COCO, 2x schedule, without a
# teacher: what the distilled students of 2x are compared with.
# Run: bash tools/dist_train.sh configs/retinanet_r50_2x.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. mmdet's zoo reports 37.4 box AP for these settings
#   (retinanet_r50_fpn_2x_coco).

_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3, save_best='coco/bbox_mAP')
)
