# What: the student of the demo alone: a Faster R-CNN with 0.1 M parameters,
#     on scenes of handwritten digits.
# Needs: python tools/make_digits.py
# Run: python tools/train.py configs/demo/frcnn_r18w8.py
_base_ = [
    '_base_/frcnn_digits.py',
    '_base_/digits.py',
    '_base_/schedule_digits.py',
]
