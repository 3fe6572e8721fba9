# A small Faster R-CNN on scenes of plants, without a teacher: what the
# distilled students are compared with.
# Run: python tools/train.py configs/plants/frcnn_r18w8.py
# Prepare: docs/datasets/plants.md
# Result: mAP 0.307 +- 0.039 over seeds 0 to 4
#   (tools/sweep/sweep.py tools/sweep/plans/which_default.py).

_base_ = [
    '../_base_/models/frcnn_small.py',
    '../_base_/datasets/plants.py',
    '../_base_/schedules/small.py',
    '../_base_/runtime_small.py',
]
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=len(_base_.metainfo.classes)))
)
train_cfg = dict(max_epochs=8)
