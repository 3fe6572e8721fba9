# Deformable DETR with a ResNet-50 backbone on MS COCO, 50 epochs, without a
# teacher: what the distilled students are compared with.
# Run: bash tools/dist_train.sh configs/deformable-detr_r50.py 16
# Prepare: docs/datasets/coco.md
# Result: not measured yet. mmdet's zoo reports 44.3 box AP for these settings
#   (deformable-detr_r50_16xb2-50e_coco).

_base_ = 'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3, save_best='coco/bbox_mAP')
)
