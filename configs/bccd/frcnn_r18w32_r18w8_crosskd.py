# CrossKD on blood cells (BCCD): a Faster R-CNN with four times the
# channels teaches a small one.
# Run: python tools/train.py configs/bccd/frcnn_r18w32_r18w8_crosskd.py
# Prepare: docs/datasets/bccd.md
# Result: mAP 0.481 +- 0.012 over seeds 0 to 4, where the student alone has
#   0.477 +- 0.019 and the teacher 0.544 (tools/sweep/sweep.py
#   tools/sweep/plans/beyond_logits.py).

_base_ = [
    './frcnn_r18w8.py',
    '../_base_/teachers/frcnn_bccd.py',
    '../_base_/methods/crosskd.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
