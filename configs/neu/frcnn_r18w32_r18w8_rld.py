# RLD (Refined Logit Distillation) on defects of steel surfaces (NEU-DET): a
# Faster R-CNN with four times the channels in the backbone teaches a small
# one.
#
# To prepare: NEU-DET in data/neu/ (annotations/{train,test}.json in COCO
#   format, images/), or elsewhere with
#   --cfg-options data_root=/path/to/neu/
#   The teacher's weights as checkpoints/neu/frcnn_r18w32.pth, trained with
#   configs/neu/frcnn_r18w32.py.
# On a CPU or one GPU:
#   python tools/train.py configs/neu/frcnn_r18w32_r18w8_rld.py
# Result: mAP 0.106 +- 0.015 over seeds 0 to 4, where the student alone has
#   0.098 +- 0.011 (tools/sweep/sweep.py tools/sweep/plans/neu.py).

_base_ = [
    './frcnn_r18w8.py',
    '../_base_/teachers/frcnn_neu.py',
    '../_base_/methods/rld.py',
]

custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
