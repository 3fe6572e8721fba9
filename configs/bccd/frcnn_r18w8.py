# A small Faster R-CNN on blood cells (BCCD), without a teacher: what the
# distilled students are compared with.
# Run: python tools/train.py configs/bccd/frcnn_r18w8.py
# Prepare: docs/datasets/bccd.md
# Result: mAP 0.481 +- 0.009 over seeds 0 to 4
#   (tools/sweep/sweep.py tools/sweep/plans/bccd.py).

_base_ = [
    '../_base_/models/frcnn_small.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/small.py',
    '../_base_/runtime_small.py',
]
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=len(_base_.metainfo.classes)))
)
