# CIFAR-100 in 30 of the papers' 240 epochs: does their order come out, RLD,
# DKD, KD, and where is CKD? A pair of one family and a pair across families,
# seven methods of logits and three of maps, by the rule of docs/rule.md. The
# teachers are trained first, for 60 epochs, and should reach 68 %. All have
# the papers' schedule, squeezed.
#
# Not run: on 2 CPU cores an epoch of ResNet-56 takes about 5 minutes, one of
# ResNet-20 about 2, and the plan has 66 trainings of 30 epochs. On a GPU, two
# at a time:
#   python tools/sweep/sweep.py tools/sweep/plans/cifar100_long.py --gpus 0,0

seeds = [0, 1, 2]
metric = 'accuracy/top1'
fast = {
    'default_hooks.channels_last.type': 'ChannelsLastHook',
    'optim_wrapper.type': 'BFloat16OptimWrapper',
}
epochs = 30
squeezed = {
    'train_cfg.max_epochs': epochs,
    # 150, 180 and 210 of 240 epochs.
    'param_scheduler.0.milestones': [19, 23, 26],
}
methods = ['kd', 'dkd', 'rld', 'ckd_240e', 'dist', 'mlkd', 'wkdl']
methods += ['reviewkd', 'catkd', 'fitnet']

runs = {}
for teacher, student in (('resnet56', 'resnet20'), ('vgg13', 'mobilenetv2')):
    runs[f'{student}_teacher'] = dict(
        config=f'configs/cifar100/{teacher}.py',
        cfg_options={
            **fast,
            'train_cfg.max_epochs': 60,
            'param_scheduler.0.milestones': [38, 45, 53],
        },
        seeds=[0],
    )
    runs[student] = dict(
        config=f'configs/cifar100/{student}.py',
        cfg_options={**fast, **squeezed},
    )
    for method in methods:
        runs[f'{student}_{method}'] = dict(
            config=f'configs/cifar100/{teacher}_{student}.py',
            cfg_options={
                'method': method,
                **fast,
                **squeezed,
                'custom_hooks.0.teacher.checkpoint': (
                    '{runs.' + student + '_teacher}'
                ),
                'custom_hooks.0.teacher.precision': 'bf16',
                # 20 of 240 epochs.
                **(
                    {'custom_hooks.0.warmup': 2}
                    if method in ('dkd', 'rld', 'reviewkd')
                    else {}
                ),
            },
            baseline=student,
        )
