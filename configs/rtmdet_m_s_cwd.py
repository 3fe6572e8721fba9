# CWD on MS COCO: RTMDet-m teaches RTMDet-s, as in MMYOLO.
# Run: bash tools/dist_train.sh configs/rtmdet_m_s_cwd.py 8
# Prepare: docs/datasets/coco.md
# Result: not measured yet. MMYOLO reports 45.7 box AP with a teacher of 49.3,
#   where its student alone has 44.6.

_base_ = [
    './rtmdet_s.py',
    './_base_/teachers/rtmdet_m.py',
    './_base_/methods/cwd_rtmdet.py',
]

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [
    *_base_.custom_hooks,
    dict(teacher=_base_.teacher, **_base_.distill),
]
