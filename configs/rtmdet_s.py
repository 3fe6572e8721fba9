# RTMDet-s on MS COCO, 300 epochs, without a teacher: what the distilled
# students are compared with.
# Run: bash tools/dist_train.sh configs/rtmdet_s.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. mmdet's zoo reports 44.5 box AP for these settings
#   (rtmdet_s_8xb32-300e_coco).

_base_ = 'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py'

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3, save_best='coco/bbox_mAP')
)
# The learning rate is for this batch, which the zoo's config does not say.
auto_scale_lr = dict(base_batch_size=256)
