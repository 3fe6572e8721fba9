# The teacher of the small Faster R-CNN on blood cells (BCCD): four times its
# channels in the backbone, a longer schedule.
# Run: python tools/train.py configs/bccd/frcnn_r18w32.py
# Prepare: docs/datasets/bccd.md
# Result: mAP 0.532, seed 0.

_base_ = './frcnn_r18w8.py'

model = dict(
    backbone=dict(base_channels=32), neck=dict(in_channels=[32, 64, 128, 256])
)
train_cfg = dict(max_epochs=24, val_interval=4)
