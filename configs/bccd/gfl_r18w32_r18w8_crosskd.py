# CrossKD on blood cells (BCCD): a GFL with four times the channels teaches a
# small one.
# Run: python tools/train.py configs/bccd/gfl_r18w32_r18w8_crosskd.py
# Prepare: docs/datasets/bccd.md
# Result: mAP 0.524 +- 0.008 over seeds 0 to 2, where the student alone has
#   0.514 +- 0.007 (tools/sweep/sweep.py tools/sweep/plans/one_stage.py).

_base_ = [
    './gfl_r18w8.py',
    '../_base_/teachers/gfl_bccd.py',
    '../_base_/methods/crosskd_gfl.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]

# Its towers have two convolutions.
custom_hooks[0]['losses']['loss_bckd']['tap']['reuse'] = 1
custom_hooks[0]['losses']['loss_ld']['tap']['reuse'] = 1
