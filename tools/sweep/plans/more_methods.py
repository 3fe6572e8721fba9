# The methods that which_default.py leaves out, and controls, on scenes of
# plants, three seeds. The verdicts are those of docs/rule.md.
#
# First train the teacher, as docs/datasets/plants.md says, then
#   python tools/sweep/sweep.py tools/sweep/plans/more_methods.py --jobs 2
#   python tools/sweep/sweep.py tools/sweep/plans/more_methods.py \
#       --report-only --metric test/bbox_mAP

seeds = [0, 1, 2]
metric = 'coco/bbox_mAP'
baseline = 'student'
common = {
    'custom_imports.imports': ['mmkd_plugin', 'controls', 'final_test'],
    'default_hooks.test.type': 'TestAtEnd',
    'test_evaluator.prefix': 'test',
}
losses = 'custom_hooks.0.losses'
methods = dict(
    kd={},
    dkd={},
    dist={},
    ckd_rld={},
    box={},
    # The small necks have 32 channels.
    reviewkd={
        f'{losses}.loss_reviewkd.student_channels': [32] * 5,
        f'{losses}.loss_reviewkd.teacher_channels': [32] * 5,
    },
)
controls = dict(
    pkd={f'{losses}.loss_pkd.tap.type': 'ShuffledFeatureTap'},
    ckd={'custom_hooks.0.tap.type': 'ShuffledRoIHeadTap'},
)
of_head = 'model.roi_head.bbox_head'
runs = dict(
    student={},
    student_cls2={f'{of_head}.loss_cls.loss_weight': 2.0},
    student_box2={f'{of_head}.loss_bbox.loss_weight': 2.0},
)
runs = {
    name: dict(config='configs/plants/frcnn_r18w8.py', cfg_options=options)
    for name, options in runs.items()
}
for suffix, group in (('', methods), ('_shuffled', controls)):
    for name, options in group.items():
        runs[name + suffix] = dict(
            config='configs/plants/frcnn_r18w32_r18w8.py',
            cfg_options={'method': name, **options},
            controls=['student_cls2', 'student_box2'],
        )
