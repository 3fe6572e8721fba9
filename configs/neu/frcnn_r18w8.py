# A small Faster R-CNN on defects of steel surfaces (NEU-DET), without a
# teacher: what the distilled students are compared with.
# Run: python tools/train.py configs/neu/frcnn_r18w8.py
# Prepare: docs/datasets/neu.md
# Result: mAP 0.098 +- 0.011 over seeds 0 to 4
#   (tools/sweep/sweep.py tools/sweep/plans/neu.py).

_base_ = [
    '../_base_/models/frcnn_small.py',
    '../_base_/datasets/neu.py',
    '../_base_/schedules/small.py',
    '../_base_/runtime_small.py',
]
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=len(_base_.metainfo.classes)))
)
train_cfg = dict(max_epochs=4)
