# Faster R-CNN FPN with a ResNet-18 backbone on MS COCO, 1x schedule, without a
# teacher: what the distilled ResNet-18 students are compared with.
# Run: bash tools/dist_train.sh configs/frcnn_r18.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './_base_/models/frcnn_r18.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/runtime_det.py',
]
