# CKD and RLD together on blood cells (BCCD): a Faster R-CNN with four times
# the channels teaches a small one.
# Run: python tools/train.py configs/bccd/frcnn_r18w32_r18w8_ckd_rld.py
# Prepare: docs/datasets/bccd.md
# Result: mAP 0.467 +- 0.007 over seeds 0 to 4, where the student alone has
#   0.481 +- 0.009 (tools/sweep/sweep.py tools/sweep/plans/bccd.py).

_base_ = [
    './frcnn_r18w8.py',
    '../_base_/teachers/frcnn_bccd.py',
    '../_base_/methods/ckd_rld.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
