# Faster R-CNN FPN with a ResNet-50 backbone on MS COCO, 2x schedule, without a
# teacher: what the ResNet-50 students of 2x are compared with.
# Run: bash tools/dist_train.sh configs/frcnn_r50_2x.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. mmdet's zoo reports 38.4 box AP for these settings
#   (faster-rcnn_r50_fpn_2x_coco).

_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_2x.py',
    './_base_/runtime_det.py',
]
