# Faster R-CNN FPN with a ResNet-50 backbone on MS COCO, 1x schedule, without
# a teacher: what the distilled ResNet-50 students are compared with.
#
# To prepare: COCO 2017 in data/coco/ (annotations/, train2017/, val2017/), or
#   elsewhere with --cfg-options data_root=/path/to/coco/
#   The backbone's ImageNet weights are downloaded. Without internet, give a
#   file: --cfg-options
#     model.backbone.init_cfg.checkpoint=/path/to/resnet50.pth
# On 8 GPUs x 2 images:
#   bash tools/dist_train.sh configs/frcnn_r50.py 8
# On one GPU (--auto-scale-lr fits the learning rate to the batch size):
#   python tools/train.py configs/frcnn_r50.py --auto-scale-lr
# Result: not measured yet. mmdet's zoo reports 37.4 box AP for these
#   settings (faster-rcnn_r50_fpn_1x_coco).

_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    './_base_/runtime_det.py',
]
