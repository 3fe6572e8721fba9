# A small GFL on blood cells (BCCD), without a teacher: what the distilled
# students are compared with.
# Run: python tools/train.py configs/bccd/gfl_r18w8.py
# Prepare: docs/datasets/bccd.md
# Result: mAP 0.514 +- 0.007 over seeds 0 to 2 (tools/sweep/sweep.py
#   tools/sweep/plans/one_stage.py).

_base_ = [
    '../_base_/models/gfl_small.py',
    '../_base_/datasets/bccd.py',
    '../_base_/schedules/small.py',
    '../_base_/runtime_small.py',
]
model = dict(bbox_head=dict(num_classes=len(_base_.metainfo.classes)))
