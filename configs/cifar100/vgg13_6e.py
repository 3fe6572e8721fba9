# VGG-13 on CIFAR-100 without a teacher, 6 epochs in bfloat16: what teaches in
# tools/sweep/plans/cifar100_short.py.
# Run: python tools/train.py configs/cifar100/vgg13_6e.py
# Prepare: docs/datasets/cifar100.md
# Result: top-1 56.60 with seed 0, on 2 cores of a CPU.

_base_ = './vgg13.py'

optim_wrapper = dict(type='BFloat16OptimWrapper')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=200, end=4692),
]
train_cfg = dict(max_epochs=6)
default_hooks = dict(channels_last=dict(type='ChannelsLastHook'))
