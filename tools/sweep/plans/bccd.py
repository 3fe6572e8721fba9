# Does it help? Blood cells, where the teacher localises better than the
# student but hardly classifies better. Each method with its weight for
# detection (CKD: 10), five seeds, compared with the student alone, with CKD
# and RLD together, and with a control that should not help: CKD with the
# teacher's logits in random order. Then other weights, with one seed, and
# other settings, with two.
#
# First train the teacher, as docs/datasets/bccd.md says, then
#   python tools/sweep/sweep.py tools/sweep/plans/bccd.py --jobs 2

seeds = [0, 1, 2, 3, 4]
metric = 'coco/bbox_mAP'
baseline = 'student'

runs = dict(student=dict(config='configs/bccd/frcnn_r18w8.py'))
for method, weight in dict(kd=1, dkd=1, rld=1, ckd=10).items():
    option = 'custom_hooks.0.loss_weight'
    if method in ('kd', 'dkd'):
        option = f'custom_hooks.0.losses.loss_{method}.loss_weight'
    for value in (weight, 3, 10, 30):
        runs.setdefault(
            f'{method}_{value}',
            dict(
                config=f'configs/bccd/frcnn_r18w32_r18w8_{method}.py',
                cfg_options={option: value},
                seeds=seeds if value == weight else [0],
            ),
        )
for method in ('kd', 'dkd', 'rld'):
    del runs[f'{method}_30']
runs['kd_10']['seeds'] = [0, 1]
runs['ckd_rld'] = dict(
    config='configs/bccd/frcnn_r18w32_r18w8_ckd_rld.py',
    cfg_options={'custom_hooks.0.losses.loss_ckd.loss_weight': 10},
)
runs['ckd_10_shuffled'] = dict(
    config='configs/bccd/frcnn_r18w32_r18w8_ckd.py',
    cfg_options={
        'custom_hooks.0.loss_weight': 10,
        'custom_imports.imports': ['mmkd_plugin', 'controls'],
        'custom_hooks.0.tap.type': 'ShuffledRoIHeadTap',
    },
)

# What else matters, and what makes distillation harmful: one change at a time,
# two seeds.
alone = 'configs/bccd/frcnn_r18w8.py'
kd = 'configs/bccd/frcnn_r18w32_r18w8_kd.py'
ckd = 'configs/bccd/frcnn_r18w32_r18w8_ckd.py'
ckd_10 = {'custom_hooks.0.loss_weight': 10}
roi_tap = {'custom_hooks.0.tap.type': 'RoIHeadTap'}
foreground = {**roi_tap, 'custom_hooks.0.tap.background_weight': 0}
less_cross_entropy = {'model.roi_head.bbox_head.loss_cls.loss_weight': 0.1}

settings = dict(
    # Mistakes: the teacher on its own RoIs, and on images normalised in
    # another way than in its training.
    kd_own_rois=dict(
        config=kd,
        cfg_options={
            'custom_imports.imports': ['mmkd_plugin', 'controls'],
            'custom_hooks.0.tap.type': 'OwnRoIHeadTap',
        },
    ),
    kd_wrong_images=dict(
        config=kd,
        cfg_options={
            'custom_hooks.0.teacher.config': (
                'tools/sweep/plans/bccd_teacher_bgr.py'
            )
        },
    ),
    # Do the box losses contribute too little of the gradient? KD replacing
    # most of the cross entropy instead of being added to it; the student with
    # as little cross entropy; and ten times KD with ten times the box losses.
    kd_mixed=dict(
        config=kd,
        cfg_options={
            'custom_hooks.0.losses.loss_kd.loss_weight': 0.9,
            **less_cross_entropy,
        },
        seeds=seeds,
    ),
    student_less=dict(config=alone, cfg_options=less_cross_entropy),
    kd_10_boxes=dict(
        config=kd,
        cfg_options={
            'custom_hooks.0.losses.loss_kd.loss_weight': 10,
            'model.roi_head.bbox_head.loss_bbox.loss_weight': 10,
            'model.rpn_head.loss_cls.loss_weight': 10,
            'model.rpn_head.loss_bbox.loss_weight': 10,
        },
    ),
    # Which RoIs take part.
    kd_foreground=dict(config=kd, cfg_options=foreground),
    ckd_foreground=dict(config=ckd, cfg_options={**ckd_10, **foreground}),
    ckd_other_classes=dict(
        config=ckd,
        cfg_options={
            **ckd_10,
            'custom_hooks.0.same_class_negatives': False,
        },
    ),
    # Temperature, warm-up over 3 of 10 epochs, a weaker teacher, a student
    # initialised with the teacher's box head.
    ckd_tau=dict(
        config=ckd,
        cfg_options={
            'custom_hooks.0.tau': 0.2,
            'custom_hooks.0.loss_weight': 2,
        },
        seeds=[0, 1, 2],
    ),
    ckd_warmup=dict(
        config=ckd,
        cfg_options={**ckd_10, 'custom_hooks.0.warmup': 3},
        seeds=[0, 1, 2],
    ),
    teacher_weak=dict(
        config='configs/bccd/frcnn_r18w32.py',
        cfg_options={
            'train_cfg.max_epochs': 6,
            'train_cfg.val_interval': 6,
        },
        seeds=[0],
        baseline=None,
    ),
    kd_weak_teacher=dict(
        config=kd,
        cfg_options={
            'custom_hooks.0.teacher.checkpoint': '{runs.teacher_weak}'
        },
    ),
    head=dict(
        config=alone,
        cfg_options={
            'model.roi_head.bbox_head.init_cfg.type': 'Pretrained',
            'model.roi_head.bbox_head.init_cfg.checkpoint': (
                'checkpoints/bccd/frcnn_r18w32.pth'
            ),
            'model.roi_head.bbox_head.init_cfg.prefix': 'roi_head.bbox_head.',
        },
    ),
)
for name in settings:
    runs[name] = {'seeds': [0, 1], **settings[name]}
# Twice the epochs.
longer = {
    'train_cfg.max_epochs': 20,
    'train_cfg.val_interval': 20,
}
for name, config, options in (
    ('student', alone, {}),
    ('kd', kd, {}),
    ('ckd', ckd, ckd_10),
):
    runs[f'{name}_longer'] = dict(
        config=config,
        cfg_options={**options, **longer},
        seeds=[0, 1],
        baseline='student_longer',
    )
