# GFL with a ResNet-50 backbone on MS COCO, 1x schedule, without a teacher:
# what the distilled students are compared with.
# Run: bash tools/dist_train.sh configs/gfl_r50.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. mmdet's zoo reports 40.2 box AP for these settings
#   (gfl_r50_fpn_1x_coco).

_base_ = 'mmdet::gfl/gfl_r50_fpn_1x_coco.py'

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3, save_best='coco/bbox_mAP')
)
