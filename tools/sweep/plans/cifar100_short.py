# KD, DKD, RLD and CKD on CIFAR-100, compared with the student alone, for a
# pair of one family and a pair across families, in 1 of the papers' 240
# epochs: less than an hour on two CPU cores. The learning rate falls at the
# same fractions of the training as in the papers, the warm-up of DKD and RLD
# takes the same fraction of it, and all students have one schedule.
#
# First train the teachers of 8 and 6 epochs, as docs/datasets/cifar100.md
# says, then
#   python tools/sweep/sweep.py tools/sweep/plans/cifar100_short.py --jobs 2

seeds = [0, 1, 2]
metric = 'accuracy/top1'
common = {
    'train_cfg.max_epochs': 1,
    # 782 iterations; the papers' drops are at 150, 180 and 210 of 240 epochs.
    'param_scheduler.0.by_epoch': False,
    'param_scheduler.0.milestones': [489, 587, 684],
    'default_hooks.channels_last.type': 'ChannelsLastHook',
}
# 20 of 240 epochs.
warmup = {'custom_hooks.0.warmup': 65, 'custom_hooks.0.by_epoch': False}
methods = dict(kd='kd', dkd='dkd', rld='rld', ckd='ckd_240e')

runs = {}
for student, teacher, epochs, precision in (
    (
        'resnet20',
        'resnet56',
        8,
        {'optim_wrapper.type': 'BFloat16OptimWrapper'},
    ),
    # Depth-wise convolutions are slower in bfloat16.
    ('mobilenetv2', 'vgg13', 6, {}),
):
    runs[student] = dict(
        config=f'configs/cifar100/{student}.py', cfg_options=precision
    )
    for method, name in methods.items():
        weights = f'checkpoints/cifar100/{teacher}_{epochs}e.pth'
        options = {
            'custom_hooks.0.teacher.checkpoint': weights,
            'custom_hooks.0.teacher.precision': 'bf16',
        }
        if method in ('dkd', 'rld'):
            options.update(warmup)
        runs[f'{student}_{method}'] = dict(
            config=f'configs/cifar100/{teacher}_{student}.py',
            cfg_options={'method': name, **precision, **options},
            baseline=student,
        )
