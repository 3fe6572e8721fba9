# Which setting gains where there is something to gain, and loses nowhere?
# Three sets: scenes of plants, where classes are hard and places easy; steel
# surfaces, with students of 12 epochs; blood cells, where the teacher hardly
# leads. The verdicts are those of docs/rule.md, which was written before.
#
# Settings are looked at on the validation images of plants and of blood cells
# only; what is claimed are the differences on their test images and on steel.
# The other methods, on plants: more_methods.py.
#
# First train the teachers, as docs/datasets/{plants,bccd,neu}.md say, that of
# steel with 24 epochs:
#   python tools/train.py configs/neu/frcnn_r18w32.py \
#       --work-dir work_dirs/neu_teacher_24e --cfg-options \
#       train_cfg.max_epochs=24
#   cp work_dirs/neu_teacher_24e/epoch_24.pth \
#       checkpoints/neu/frcnn_r18w32_24e.pth
# then
#   python tools/sweep/sweep.py tools/sweep/plans/which_default.py --jobs 2
#   python tools/sweep/sweep.py tools/sweep/plans/which_default.py \
#       --report-only --metric test/bbox_mAP

seeds = [0, 1, 2, 3, 4]
metric = 'coco/bbox_mAP'

common = {
    'custom_imports.imports': ['mmkd_plugin', 'controls', 'final_test'],
    'default_hooks.test.type': 'TestAtEnd',
    'test_evaluator.prefix': 'test',
}
of_head = 'model.roi_head.bbox_head'
losses = 'custom_hooks.0.losses'
pkd = {
    f'{losses}.loss_pkd.type': 'PKDLoss',
    f'{losses}.loss_pkd.loss_weight': 6.0,
}
methods = dict(
    rld={'method': 'rld'},
    ckd={'method': 'ckd'},
    crosskd={'method': 'crosskd'},
    pkd={'method': 'pkd'},
    pkd_ckd_rld={'method': 'ckd_rld', **pkd},
)
# The student alone with more of its own losses.
alone = dict(
    student={},
    student_both2={
        f'{of_head}.loss_cls.loss_weight': 2.0,
        f'{of_head}.loss_bbox.loss_weight': 2.0,
    },
)
pairs = dict(
    plants='configs/plants/frcnn_r18w32_r18w8.py',
    bccd='configs/bccd/frcnn_r18w32_r18w8_ckd.py',
    neu='configs/neu/frcnn_r18w32_r18w8_ckd.py',
)
longer = {
    'train_cfg.max_epochs': 12,
    'train_cfg.val_interval': 12,
}
better = {
    'custom_hooks.0.teacher.checkpoint': 'checkpoints/neu/frcnn_r18w32_24e.pth'
}
runs = {}
for data, pair in pairs.items():
    schedule, teacher = (longer, better) if data == 'neu' else ({}, {})
    for name, options in alone.items():
        runs[f'{data}_{name}'] = dict(
            config=f'configs/{data}/frcnn_r18w8.py',
            cfg_options={**options, **schedule},
            baseline=f'{data}_student',
        )
    for name, options in methods.items():
        runs[f'{data}_{name}'] = dict(
            config=pair,
            cfg_options={**options, **teacher, **schedule},
            baseline=f'{data}_student',
            controls=[f'{data}_student_both2'],
        )
# To save time: on steel the one that may become the default, after plants and
# blood cells, and the two that differ most.
for name in ('rld', 'pkd_ckd_rld'):
    del runs[f'neu_{name}']
