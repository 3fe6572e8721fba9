# The student of the demo alone: a Faster R-CNN with 0.19 M parameters, on
# scenes of handwritten digits.
# Run: python tools/train.py configs/demo/frcnn_r18w8.py
# Prepare: docs/datasets/digits.md
# Result: mAP 0.386 +- 0.006 over seeds 0, 1, 2
#   (tools/quickstart/quickstart.py --seeds 0 1 2).

_base_ = [
    '_base_/frcnn_digits.py',
    '_base_/digits.py',
    '../_base_/schedules/small.py',
    '_base_/runtime_digits.py',
]
train_cfg = dict(max_epochs=20, val_interval=4)
