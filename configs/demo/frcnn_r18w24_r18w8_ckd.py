# What: the student of the demo with a teacher, by CKD (Contrastive Knowledge
#     Distillation). The entry in custom_hooks is all that makes it so.
# Needs: python tools/make_digits.py. The teacher's weights lie beside this
#     file.
# Run: python tools/train.py configs/demo/frcnn_r18w24_r18w8_ckd.py
# Result: not measured yet.

_base_ = './frcnn_r18w8.py'

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
custom_hooks = [
    dict(
        type='CKDHook',
        teacher=dict(
            config='{{ fileDirname }}/frcnn_r18w24.py',
            checkpoint='{{ fileDirname }}/frcnn_digits_teacher.pth',
        ),
        tau=1.0,
        loss_weight=30.0,
    )
]
