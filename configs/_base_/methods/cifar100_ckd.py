# Contrastive Knowledge Distillation from a sample-wise perspective
# (arXiv 2404.14109) with the settings of its released CIFAR-100 configs, which
# have twice the epochs of the other methods.

_base_ = './cifar100_ckd_240e.py'

train_cfg = dict(max_epochs=480)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=480)]

pairs = {
    pair: dict(train_dataloader=dict(batch_size=32))
    for pair in (
        'resnet32x4_shufflev1',
        'resnet50_mobilenetv2',
        'vgg13_mobilenetv2',
        'wrn_40_2_shufflev1',
        'wrn_40_2_wrn_40_1',
    )
}
