# The teacher of the small Faster R-CNN on defects of steel surfaces (NEU-DET):
# four times its channels in the backbone, a longer schedule.
# Run: python tools/train.py configs/neu/frcnn_r18w32.py
# Prepare: docs/datasets/neu.md
# Result: mAP 0.249, seed 0.

_base_ = './frcnn_r18w8.py'

model = dict(
    backbone=dict(base_channels=32), neck=dict(in_channels=[32, 64, 128, 256])
)
train_cfg = dict(max_epochs=12, val_interval=4)
