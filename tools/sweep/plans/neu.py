# Does it help? Steel surfaces, where the teacher tells classes apart that the
# student confuses. Each method with its weight for detection (CKD: 10), five
# seeds, compared with the student alone, with CKD and RLD together, and with a
# control that should not help: CKD with the teacher's logits in random order.
# Then other weights, with one seed.
#
# First train the teacher, as docs/datasets/neu.md says, then
#   python tools/sweep/sweep.py tools/sweep/plans/neu.py --jobs 2

seeds = [0, 1, 2, 3, 4]
metric = 'coco/bbox_mAP'
baseline = 'student'

runs = dict(student=dict(config='configs/neu/frcnn_r18w8.py'))
for method, weight in dict(kd=1, dkd=1, rld=1, ckd=10).items():
    option = 'custom_hooks.0.loss_weight'
    if method in ('kd', 'dkd'):
        option = f'custom_hooks.0.losses.loss_{method}.loss_weight'
    for value in (weight, 3, 10, 30):
        runs.setdefault(
            f'{method}_{value}',
            dict(
                config=f'configs/neu/frcnn_r18w32_r18w8_{method}.py',
                cfg_options={option: value},
                seeds=seeds if value == weight else [0],
            ),
        )
for method in ('kd', 'dkd', 'rld'):
    del runs[f'{method}_30']
runs['ckd_rld'] = dict(
    config='configs/neu/frcnn_r18w32_r18w8_ckd_rld.py',
    cfg_options={'custom_hooks.0.losses.loss_ckd.loss_weight': 10},
)
runs['ckd_10_shuffled'] = dict(
    config='configs/neu/frcnn_r18w32_r18w8_ckd.py',
    cfg_options={
        'custom_hooks.0.loss_weight': 10,
        'custom_imports.imports': ['mmkd_plugin', 'controls'],
        'custom_hooks.0.tap.type': 'ShuffledRoIHeadTap',
    },
)
# DIST, with the weights of its ImageNet recipe, and with a weight that pulls
# about as strongly as KD and DKD.
for value in (1, 0.3):
    runs[f'dist_{value}'] = dict(
        config='configs/neu/frcnn_r18w32_r18w8_dist.py',
        cfg_options={'custom_hooks.0.losses.loss_dist.loss_weight': value},
        seeds=[0, 1, 2],
    )
# A mistake: the teacher on its own RoIs.
runs['kd_own_rois'] = dict(
    config='configs/neu/frcnn_r18w32_r18w8_kd.py',
    cfg_options={
        'custom_imports.imports': ['mmkd_plugin', 'controls'],
        'custom_hooks.0.tap.type': 'OwnRoIHeadTap',
    },
    seeds=[0, 1, 2],
)
