# Faster R-CNN FPN with a MobileNetV2 backbone on MS COCO, 1x schedule, without
# a teacher: what the distilled MobileNetV2 students are compared with. The FPN
# reads 24, 32, 96 and 320 channels, as in the papers on ReviewKD, DKD and CKD.
# Run: bash tools/dist_train.sh configs/frcnn_mv2.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet.

_base_ = [
    './_base_/models/frcnn_mv2.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/runtime_det.py',
]
