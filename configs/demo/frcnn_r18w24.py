# The teacher of the demo: three times the student's channels, trained on 4000
# scenes where the student has 400 (made of the same scans; nothing of the
# validation scans in either).
# Run: python tools/train.py configs/demo/frcnn_r18w24.py
# Prepare: docs/datasets/digits.md
# Result: mAP 0.681, seed 0; weights rounded to half precision the same.

_base_ = [
    '_base_/frcnn_digits.py',
    '_base_/digits.py',
    '../_base_/schedules/small.py',
    '_base_/runtime_digits.py',
]
model = dict(
    backbone=dict(base_channels=24),
    neck=dict(in_channels=[24, 48, 96], out_channels=48),
    rpn_head=dict(in_channels=48, feat_channels=48),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=48),
        bbox_head=dict(in_channels=48, fc_out_channels=128),
    ),
)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        ann_file='annotations/extra.json', data_prefix=dict(img='extra/')
    ),
)
train_cfg = dict(max_epochs=5, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
