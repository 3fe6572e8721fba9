# Faster R-CNN FPN with a ResNet-50 backbone on MS COCO, 1x schedule, without a
# teacher: what the distilled ResNet-50 students are compared with.
# Run: bash tools/dist_train.sh configs/frcnn_r50.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. mmdet's zoo reports 37.4 box AP for these
#   settings (faster-rcnn_r50_fpn_1x_coco).

_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/runtime_det.py',
]
