# Cascade R-CNN FPN with a ResNet-50 backbone on MS COCO, 1x schedule, without
# a teacher: what the distilled ResNet-50 cascades are compared with.
# Run: bash tools/dist_train.sh configs/cascade-rcnn_r50.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. mmdet's zoo reports 40.3 box AP for these
#   settings (cascade-rcnn_r50_fpn_1x_coco).

_base_ = [
    'mmdet::_base_/models/cascade-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/runtime_det.py',
]
