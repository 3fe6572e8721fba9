# PKD on scenes of plants: a Faster R-CNN with four times the channels teaches
# a small one. Another method: --cfg-options method=NAME
# Run: python tools/train.py configs/plants/frcnn_r18w32_r18w8.py
# Prepare: docs/datasets/plants.md
# Result: not measured yet (docs/evidence.md has one seed of PKD).

_base_ = [
    './frcnn_r18w8.py',
    '../_base_/teachers/frcnn_plants.py',
    '../_base_/methods/pkd.py',
]

method = 'pkd'
custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [dict(teacher=_base_.teacher, **_base_.distill)]
