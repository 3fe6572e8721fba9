# Does it help to distil boxes and features? Blood cells and steel surfaces,
# five seeds, compared with the student alone; each also with CKD.
#
# Controls: the student alone with its box loss doubled, because that may do
# what a box term does; teachers whose boxes or maps are those of other RoIs
# or images (shuffled); a teacher that was never trained (random).
#
# The rule, written before the runs: settings are looked at on the validation
# images of blood cells only; what is claimed is the difference on its test
# images, and on those of steel, over seeds 0 to 4. A term helps if its 95 %
# interval lies above 0 and its mean above that of each of its controls.
#
# First train the teachers, as docs/datasets/{bccd,neu}.md say, then
#   python tools/sweep/sweep.py tools/sweep/plans/beyond_logits.py --jobs 2
#   python tools/sweep/sweep.py tools/sweep/plans/beyond_logits.py \
#       --report-only --metric test/bbox_mAP

seeds = [0, 1, 2, 3, 4]
metric = 'coco/bbox_mAP'

common = {
    'custom_imports.imports': [
        'mmkd_plugin',
        'controls',
        'final_test',
    ],
    'default_hooks.test.type': 'TestAtEnd',
    'test_evaluator.prefix': 'test',
}
losses = 'custom_hooks.0.losses'
# What CKD is in configs/_base_/methods/ckd.py, beside other losses.
ckd = {
    f'{losses}.loss_ckd.type': 'CKDLoss',
    f'{losses}.loss_ckd.tau': 1.0,
    f'{losses}.loss_ckd.loss_weight': 10.0,
}
runs = dict()
for data in ('bccd', 'neu'):
    folder = f'configs/{data}/frcnn_r18w32'
    student = f'configs/{data}/frcnn_r18w8.py'
    found = dict(
        student=dict(config=student),
        student_box2=dict(
            config=student,
            cfg_options={
                'model.roi_head.bbox_head.loss_bbox.loss_weight': 2.0
            },
        ),
        ckd=dict(config=f'{folder}_r18w8_ckd.py'),
        # A teacher that learns nothing but the statistics of its features.
        teacher_random=dict(
            config=f'{folder}.py',
            cfg_options={
                'optim_wrapper.optimizer.lr': 0.0,
                'train_cfg.max_epochs': 1,
            },
            seeds=[0],
        ),
    )
    for method in ('box', 'crosskd', 'pkd'):
        config = f'{folder}_r18w8_{method}.py'
        found[method] = dict(config=config)
        found[f'ckd_{method}'] = dict(config=config, cfg_options=ckd)
    for method, tap in dict(box='RoIBoxTap', pkd='FeatureTap').items():
        found[f'{method}_shuffled'] = dict(
            config=f'{folder}_r18w8_{method}.py',
            cfg_options={
                f'{losses}.loss_{method}.tap.type': f'Shuffled{tap}',
            },
            seeds=[0, 1, 2],
        )
        found[f'{method}_random'] = dict(
            config=f'{folder}_r18w8_{method}.py',
            cfg_options={
                'custom_hooks.0.teacher.checkpoint': (
                    '{runs.' + data + '_teacher_random}'
                )
            },
            seeds=[0, 1, 2],
        )
    # The two other choices of rows, and a lighter weight.
    found['box_bounded'] = dict(
        config=f'{folder}_r18w8_box.py',
        cfg_options={
            f'{losses}.loss_box.bounded': True,
            f'{losses}.loss_box.tap.type': 'RoIBoxTap',
            f'{losses}.loss_box.tap.rows': 'label',
        },
        seeds=[0, 1, 2],
    )
    found['pkd_1'] = dict(
        config=f'{folder}_r18w8_pkd.py',
        cfg_options={f'{losses}.loss_pkd.loss_weight': 1.0},
        seeds=[0, 1, 2],
    )
    for name, each in found.items():
        runs[f'{data}_{name}'] = dict(each, baseline=f'{data}_student')
