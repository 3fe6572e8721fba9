# BinaryDKD on blood cells (BCCD): a GFL with four times the channels teaches a
# small one.
# Run: python tools/train.py configs/bccd/gfl_r18w32_r18w8_binarydkd.py
# Prepare: docs/datasets/bccd.md
# Result: not measured over several seeds; seed 0 is in docs/evidence.md.

_base_ = [
    './gfl_r18w8.py',
    '../_base_/teachers/gfl_bccd.py',
    '../_base_/methods/binarydkd.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
