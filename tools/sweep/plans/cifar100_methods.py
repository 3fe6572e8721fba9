# Does every method of docs/classification.md train a student on CIFAR-100? One
# epoch of ResNet-20 with ResNet-56 as teacher, seed 0, in the settings of
# cifar100_short.py. It shows that each makes its steps, not which is better:
# the papers train 240 epochs.
#
# First train the teacher of 8 epochs, as docs/datasets/cifar100.md says, then
#   python tools/sweep/sweep.py tools/sweep/plans/cifar100_methods.py --jobs 2

seeds = [0]
metric = 'accuracy/top1'
baseline = 'kd'
common = {
    'train_cfg.max_epochs': 1,
    # 782 iterations; the papers' drops are at 150, 180 and 210 of 240 epochs.
    'param_scheduler.0.by_epoch': False,
    'param_scheduler.0.milestones': [489, 587, 684],
    'default_hooks.channels_last.type': 'ChannelsLastHook',
    'optim_wrapper.type': 'BFloat16OptimWrapper',
}
logits = ['kd', 'dkd', 'rld', 'ckd_240e', 'dist']
logits += ['swap', 'revision', 'rc', 'mlkd', 'wkdl', 'function_matching']
features = ['fitnet', 'at', 'vid', 'ofd', 'reviewkd', 'catkd', 'simkd']
relations = ['sp', 'rkd', 'crd']
trained = ['ctkd']

runs = dict(student=dict(config='configs/cifar100/resnet20.py'))
for method in [*logits, *features, *relations, *trained]:
    runs[method] = dict(
        config='configs/cifar100/resnet56_resnet20.py',
        cfg_options={
            'method': method,
            'custom_hooks.0.teacher.checkpoint': (
                'checkpoints/cifar100/resnet56_8e.pth'
            ),
            'custom_hooks.0.teacher.precision': 'bf16',
            # 20 of the papers' 240 epochs, where there is a warm-up.
            **(
                {
                    'custom_hooks.0.warmup': 65,
                    'custom_hooks.0.by_epoch': False,
                }
                if method in ('dkd', 'rld', 'reviewkd')
                else {}
            ),
        },
    )
