# DKD (Decoupled Knowledge Distillation) on blood cells (BCCD): a Faster R-CNN
# with four times the channels in the backbone teaches a small one.
#
# To prepare: BCCD in data/bccd/ (annotations/{train,val,test}.json in COCO
#   format, images/), or elsewhere with
#   --cfg-options data_root=/path/to/bccd/
#   The teacher's weights as checkpoints/bccd/frcnn_r18w32.pth, trained with
#   configs/bccd/frcnn_r18w32.py.
# On a CPU or one GPU:
#   python tools/train.py configs/bccd/frcnn_r18w32_r18w8_dkd.py
# Result: mAP 0.467 +- 0.015 over seeds 0 to 4, where the student alone has
#   0.481 +- 0.009 (tools/sweep/sweep.py tools/sweep/plans/bccd.py).

_base_ = [
    './frcnn_r18w8.py',
    '../_base_/teachers/frcnn_bccd.py',
    '../_base_/methods/dkd.py',
]

custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
