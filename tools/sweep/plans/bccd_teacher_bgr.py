# A teacher whose config does not match the preprocessing of its training: BGR
# instead of RGB, and a standard deviation of 1 instead of about 58.

_base_ = '../../configs/bccd/frcnn_r18w32.py'

model = dict(
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False
    )
)
